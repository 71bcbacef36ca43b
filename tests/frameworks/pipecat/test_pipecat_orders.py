"""Any order of frames, the end in each state, and what the framework's clients receive."""

import random
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    SpeechOutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.transports.base_output import BaseOutputTransport, TransportParams
from pipecat_fakes import RATE, conversation, settle, until

from playback.integrations.pipecat import PlaybackPauseFrame, PlaybackResumeFrame


def sound(samples: int, level: int = 1_000) -> tuple[bytes, int, int]:
    return np.full(samples, level, np.int16).tobytes(), RATE, 1


@pytest.mark.parametrize("seed", range(12))
async def test_any_order_of_frames(seed: int) -> None:
    dice = random.Random(seed)
    async with conversation() as talk:
        contexts: list[tuple[str, bool]] = []
        kept: list[int] = []

        async def send(frame: Frame, *, interruptible: bool = True) -> None:
            frame.interruptible = interruptible
            await talk.tts.push_frame(frame)

        kinds = ["start", "audio", "audio", "stop", "message", "sound", "stream"]
        for _ in range(60):
            match dice.choice([*kinds, "interrupt", "button", "pause", "resume", "read", "read", "read"]):
                case "start":
                    contexts.append((f"context {len(contexts)}", dice.random() < 0.8))
                    await send(TTSStartedFrame(context_id=contexts[-1][0]), interruptible=contexts[-1][1])
                case "audio" if contexts:
                    context, interruptible = dice.choice(contexts[-3:])
                    audio = TTSAudioRawFrame(*sound(dice.choice([0, 1, 71, 480, 4_800])), context_id=context)
                    await send(audio, interruptible=interruptible)
                case "stop" if contexts:
                    context, interruptible = dice.choice(contexts[-3:])
                    await send(TTSStoppedFrame(context_id=context), interruptible=interruptible)
                case "message":
                    message, interruptible = OutputTransportMessageFrame(message={}), dice.random() < 0.5
                    kept += [] if interruptible else [message.id]
                    await send(message, interruptible=interruptible)
                case "sound":
                    await send(OutputAudioRawFrame(*sound(500)))
                case "stream":
                    await send(SpeechOutputAudioRawFrame(*sound(2_400, dice.choice([0, 1_000]))))
                case "interrupt":
                    await talk.queue(InterruptionFrame())
                case "button":
                    talk.controller.interrupt()
                case "pause":
                    await talk.queue(PlaybackPauseFrame())
                case "resume":
                    await talk.queue(PlaybackResumeFrame(to_word=dice.random() < 0.5))
                case "read":
                    await talk.read(dice.choice([0.02, 0.06, 0.2]))
            await settle(120)
        await talk.worker.queue_frame(EndFrame())
        await settle()
        for _ in range(100):
            if talk.below.names(EndFrame):
                break
            await talk.read(0.5)
        await until(lambda: talk.below.names(EndFrame))
        speaking = talk.below.speaking
        assert speaking == [True, False] * (len(speaking) // 2)
        passed = [frame.id for frame in talk.below.down]
        assert len(set(passed)) == len(passed)
        assert set(kept) <= set(passed)


@pytest.mark.parametrize("how", ["end", "cancel"])
@pytest.mark.parametrize("state", ["idle", "speaking", "paused", "interrupted", "locked", "closed"])
async def test_shutdown_in_each_state(state: str, how: str) -> None:
    async with conversation("One two three.") as talk:
        finished: list[Any] = []
        talk.controller.on("utterance_finished", finished.append)
        if state != "idle":
            await talk.ask(buffered=0.6)
            await talk.read(0.1)
        match state:
            case "paused":
                await talk.queue(PlaybackPauseFrame())
            case "interrupted":
                await talk.interrupt()
            case "locked":
                talk.controller.lock()
            case "closed":
                talk.controller.close()
        if how == "cancel":
            await talk.worker.cancel()
        else:
            await talk.worker.queue_frame(EndFrame())
            await settle()
            await talk.read(0.6)
            await until(lambda: talk.below.names(EndFrame))
    assert talk.controller.state == "closed"
    assert len(finished) == (state != "idle")
    if how == "end":  # once the pipeline is cancelled it receives nothing more, as with the framework's own output
        assert talk.below.speaking == ([] if state == "idle" else [True, False])


class Messages(BaseOutputTransport):
    """A transport that sends no audio, only messages."""

    def __init__(self) -> None:
        super().__init__(TransportParams(audio_out_enabled=False))
        self.sent: list[dict] = []

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def send_message(self, frame: OutputTransportMessageFrame | OutputTransportMessageUrgentFrame) -> None:
        self.sent.append(frame.message)


async def test_rtvi_sends_the_client_the_words_that_were_heard() -> None:
    transport = Messages()
    async with conversation("One two three.", more=(transport,), rtvi=True) as talk:
        await talk.ask(buffered=0.6)
        await talk.read(0.3)  # in the second word
        await talk.interrupt()
        await until(lambda: any(message["type"] == "bot-stopped-speaking" for message in transport.sent))
        assert [m["data"]["text"] for m in transport.sent if m["type"] == "bot-tts-text"] == ["One"]
        assert "bot-started-speaking" in [message["type"] for message in transport.sent]
        assert talk.messages == ["One"]
