"""A Pipecat bot that knows what was heard. It runs offline: the model and the synthesizer are made up.

``python examples/pipecat_bot.py``. In a bot of your own the lines that count are those with the output and its track.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import fields

import numpy as np
from loguru import logger
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMMessagesAppendFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.workers.runner import WorkerRunner

from playback.integrations.pipecat import PlaybackOutput, PlaybackPauseFrame, PlaybackResumeFrame
from playback.track import PlaybackTrack

RATE = 24_000
WORD_SECONDS = 0.2


class Model(LLMService):
    """Stands for a model."""

    def __init__(self) -> None:
        super().__init__(
            settings=LLMSettings(**{field.name: None for field in fields(LLMSettings) if field.name != "extra"})
        )

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer a context; pass the rest on."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        await self.push_frame(LLMTextFrame("Your table is booked for eight people."))
        await self.push_frame(LLMFullResponseEndFrame())


class Synthesizer(TTSService):
    """Stands for one that sends the words' times: 200 ms for each word, all at once."""

    def __init__(self) -> None:
        nothing = TTSSettings(model=None, voice=None, language=None)
        super().__init__(push_text_frames=False, push_start_frame=True, push_stop_frames=True, settings=nothing)

    async def run_tts(self, text: str, context_id: str) -> AsyncIterator[Frame | None]:
        """Make the audio, and send the words' times."""
        words = text.split()
        audio = np.full(round(RATE * WORD_SECONDS * len(words)), 1_000, np.int16)
        yield TTSAudioRawFrame(audio.tobytes(), RATE, 1, context_id=context_id)
        await self.add_word_timestamps([(word, at * WORD_SECONDS) for at, word in enumerate(words)], context_id)


async def listen(track: PlaybackTrack) -> None:
    """Stands for the peer connection: ``peer_connection.addTrack(track)``."""
    while True:
        await track.recv()


async def main() -> None:
    """Ask twice: one answer is held for a moment and then cut, the other is heard to its end."""
    context = LLMContext()
    user, assistant = LLMContextAggregatorPair(context)

    output = PlaybackOutput()  # instead of transport.output()
    listening = asyncio.create_task(listen(PlaybackTrack(output.controller, close_controller=False)))
    pipeline = Pipeline([user, Model(), Synthesizer(), output, assistant])

    params = PipelineParams(audio_out_sample_rate=RATE)
    worker = PipelineWorker(pipeline, params=params, cancel_on_idle_timeout=False, enable_rtvi=False)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())

    async def ask(text: str) -> None:
        started = asyncio.Event()
        output.controller.once("first_audio_byte", lambda _: started.set())
        message = {"role": "user", "content": text}
        await worker.queue_frame(LLMMessagesAppendFrame(messages=[message], run_llm=True))
        await started.wait()

    await ask("Is it booked?")
    await asyncio.sleep(0.5)
    await worker.queue_frame(PlaybackPauseFrame())  # a cough?
    await asyncio.sleep(0.5)
    await worker.queue_frame(PlaybackResumeFrame(to_word=True))  # it was
    await asyncio.sleep(0.4)
    await worker.queue_frame(InterruptionFrame())  # now it is a sentence
    await asyncio.sleep(0.1)
    await ask("For eight? We are nine.")
    await worker.queue_frame(EndFrame())  # what is being said is said to its end

    await running
    listening.cancel()
    for message in context.get_messages():
        print(f"{message['role']:>9}: {message['content']}")


if __name__ == "__main__":
    logger.remove()
    asyncio.run(main())
