"""The example, the page and the comparison show what works."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from compare import SCENARIOS, Ours, Theirs
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.filters.identity_filter import IdentityFilter
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.workers.runner import WorkerRunner
from pipecat_fakes import conversation, until

from playback import AudioFormat, PlaybackController

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "frameworks" / "pipecat.md"


def names_of_the_page() -> dict[str, object]:
    blocks = re.findall(r"^```py\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_the_example_works() -> None:
    command = [sys.executable, ROOT / "examples" / "pipecat_bot.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("assistant: Your table is") == 2
    assert done.stdout.endswith("for eight people.\n")


async def test_the_bots_on_the_page() -> None:
    names = names_of_the_page()
    parts = {name: IdentityFilter() for name in ("stt", "user", "llm", "tts", "assistant")}
    connection = SmallWebRTCConnection(ice_servers=[])
    transport = SmallWebRTCTransport(connection, TransportParams())
    assert names["bot"](connection.pc, transport, **parts)
    assert names["bot_on_small_webrtc"](transport, **parts).capabilities.audio_out
    assert names["bot_on_a_telephone"](transport, **parts)
    await connection.disconnect()
    assert names["output_with_background"]().controller.background.duck_db == 6.0


class TelephoneCall:
    """Has what the page uses of a call over a carrier's WebSocket."""

    def __init__(self) -> None:
        self.controller = PlaybackController(AudioFormat(8_000))
        self.incoming = self
        self.dtmf = self.keys()

    async def samples(self, rate: int) -> AsyncIterator[np.ndarray]:
        assert rate == 16_000
        yield np.full(320, 7, np.int16)

    async def keys(self) -> AsyncIterator[str]:
        yield "#"


class Taker(FrameProcessor):
    """Keeps the frames that come from the caller."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Frame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, (InputAudioRawFrame, InputDTMFFrame)):
            self.taken.append(frame)
        await self.push_frame(frame, direction)


async def test_the_caller_on_the_page() -> None:
    names = names_of_the_page()
    parts = {name: IdentityFilter() for name in ("user", "llm", "tts", "assistant")}
    taker = Taker()
    worker = PipelineWorker(names["bot_of_a_call"](TelephoneCall(), taker, **parts))
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await until(lambda: len(taker.taken) == 2)
    await worker.cancel()
    await running
    audio, key = sorted(taker.taken, key=lambda frame: isinstance(frame, InputDTMFFrame))
    assert (audio.audio, audio.sample_rate) == (b"\7\0" * 320, 16_000)
    assert key.button.value == "#"


async def test_the_cough_on_the_page() -> None:
    names = names_of_the_page()
    hold = names["HoldOnVoice"]()
    async with conversation("One two three.", "Yes.", user_params=names["user_params"], before=(hold,)) as talk:
        await talk.ask(buffered=0.6)
        await talk.read(0.3)
        await talk.queue(VADUserStartedSpeakingFrame())
        assert talk.controller.state == "paused"
        await talk.queue(VADUserStoppedSpeakingFrame())
        await until(lambda: talk.controller.state == "speaking")
        assert set(await talk.read(0.2)) == {1_100}  # the second word, from its beginning
        await talk.queue(VADUserStartedSpeakingFrame(), VADUserStoppedSpeakingFrame())
        assert talk.controller.state == "paused"
        await talk.queue(TranscriptionFrame("no wait", "user", "now"))
        await until(lambda: talk.messages)
        assert talk.messages == ["One two"]
        assert hold.resuming is None


@pytest.mark.parametrize("name", [name for name in SCENARIOS if "stopped" not in name])
async def test_the_comparison(name: str) -> None:
    theirs, ours = await asyncio.gather(SCENARIOS[name](Theirs), SCENARIOS[name](Ours))
    if "500 samples" in name:
        assert ours == 500
    else:
        assert ours <= 0
        assert theirs is None or theirs > 0


def test_without_the_framework_it_says_what_is_missing() -> None:
    code = "import sys; sys.modules['pipecat'] = None; import playback.integrations.pipecat"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'voice-playback[pipecat]'" in done.stderr.splitlines()[-1]
