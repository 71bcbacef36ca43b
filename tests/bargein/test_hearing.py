"""The defaults of the detector, of short words and of the policy fit together: real speech, and a clock of samples."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.voices import Audio, Saying, Voice, in_noise, say
from playback import AudioFormat, PlaybackController
from playback.bargein import BargeIn
from playback.bargein.recognizer import RATE
from playback.bargein.short_words import _WORKER, ShortWords
from playback.bargein.vad import SpeechDetector

pytestmark = pytest.mark.portable

PIECE = RATE // 50
VOICES = [Voice("espeak", "en-us"), Voice("espeak", "en-gb-x-rp+f4")]
HUMS = [Saying("hm", espeak="h'm-"), Saying("mm hm", espeak="m-h'm-")]
GIVES_WAY = (["barge_in"], ["paused", "barge_in"])
SENTENCES = [Saying("No, that is not what I meant."), Saying("Could you make it nine instead?")]


class SampleClock:
    """Time is the number of samples that were heard."""

    def __init__(self) -> None:
        self._now = 0.0
        self._numbers = itertools.count()
        self._calls: list[tuple[float, int, Callable[[], object]]] = []
        self._cancelled: set[int] = set()

    def time(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[[], object], /) -> Any:
        number = next(self._numbers)
        heapq.heappush(self._calls, (when, number, callback))
        cancelled = self._cancelled

        class Handle:
            def cancel(self) -> None:
                cancelled.add(number)

        return Handle()

    def advance(self, seconds: float) -> None:
        end = self._now + seconds
        while self._calls and self._calls[0][0] <= end:
            when, number, callback = heapq.heappop(self._calls)
            if number not in self._cancelled:
                self._now = max(self._now, when)
                callback()
        self._now = end


async def converse(heard: Audio, *, by_ear: bool = False) -> tuple[list[str], PlaybackController]:
    """The user makes this sound while the agent speaks; what is decided, each pause, and the controller at the end.

    Short words take no time, if they are recognized: samples go on when the worker has nothing to do.
    """
    assert SpeechDetector().feed(heard), "the detector does not notice it"
    controller, clock, detector = PlaybackController(AudioFormat(RATE)), SampleClock(), SpeechDetector()
    policy = BargeIn(controller, timer=clock)
    emitted: list[str] = []
    policy.on("barge_in", lambda event: emitted.append(event.name))
    policy.on("false_interruption", lambda event: emitted.append(event.name))
    controller.on("paused", lambda event: emitted.append(event.name))
    answer = controller.utterance()
    answer.push(np.full(60 * RATE, 1_000, np.int16))
    answer.end()
    words = ShortWords(policy.transcript) if by_ear else None
    for start in range(0, len(heard), PIECE):
        piece = heard[start : start + PIECE]
        if words is not None:
            words.samples_heard(piece)
        for change in detector.feed(piece):
            ago = (detector.position - change.at) / RATE
            if change.speaking:
                policy.speech_started(ago)
            else:
                policy.speech_ended(ago)
            if words is not None:
                (words.speech_started if change.speaking else words.speech_ended)()
        while words is not None and words._busy:
            await asyncio.get_running_loop().run_in_executor(_WORKER, int)  # behind the sound
            await asyncio.sleep(0)
        controller.read(PIECE)
        clock.advance(PIECE / RATE)
    return emitted, controller


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
@pytest.mark.parametrize("hum", HUMS, ids=lambda hum: hum.text)
async def test_a_hum_is_a_backchannel(voice: Voice, hum: Saying) -> None:
    emitted, controller = await converse(in_noise(say(voice, hum), None))
    assert "barge_in" not in emitted
    assert controller.state == "speaking"


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda sentence: sentence.text)
async def test_a_sentence_interrupts(voice: Voice, sentence: Saying) -> None:
    emitted, controller = await converse(in_noise(say(voice, sentence), None))
    assert emitted in GIVES_WAY
    assert controller.state == "idle"


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
@pytest.mark.parametrize("command", ["Stop.", "Wait.", "Hold on."])
async def test_a_command_interrupts_by_ear(voice: Voice, command: str) -> None:
    emitted, controller = await converse(in_noise(say(voice, Saying(command)), None), by_ear=True)
    assert emitted in GIVES_WAY
    assert controller.state == "idle"


async def test_a_hum_makes_no_hole_by_ear() -> None:
    """It is recognized before the agent would be paused for its length."""
    emitted, controller = await converse(in_noise(say(VOICES[0], HUMS[1]), None), by_ear=True)
    assert emitted == ["false_interruption"]
    assert controller.state == "speaking"


@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda sentence: sentence.text)
async def test_a_sentence_interrupts_by_ear(sentence: Saying) -> None:
    emitted, _ = await converse(in_noise(say(VOICES[0], sentence), None), by_ear=True)
    assert emitted in GIVES_WAY
