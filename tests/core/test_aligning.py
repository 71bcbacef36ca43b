"""What a report says was heard where an aligner finds the words in the audio."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, PlaybackController
from playback.events import ErrorRaised
from playback.report import UtteranceReport
from playback.words import Word
from playback.words.alignment import KeptSpeech
from tests.signals import CUTS
from tests.speaking.playing import until

RATE = 24_000
TEXT = "One two, three four. Five six seven eight?"
WORD, GAP = 0.3, 0.1


def speech(channels: int = 1) -> NDArray[np.int16]:
    """A tone for each word, with silence behind it."""
    tone = 12_000 * np.sin(2 * np.pi * 220 * np.arange(round(WORD * RATE)) / RATE)
    audio = np.rint(np.tile(np.concatenate([tone, np.zeros(round(GAP * RATE))]), 8)).astype(np.int16)
    return audio if channels == 1 else np.stack([audio, audio], axis=1)


class Tones:
    """Aligns such speech: each tone is a word."""

    def __init__(self, hook: Callable[[], object] = lambda: None) -> None:
        self.hook = hook
        self.calls: list[tuple[str, bytes, AudioFormat, int]] = []

    def align(self, text: str, audio: bytes, format: AudioFormat) -> Sequence[Word]:
        self.calls.append((text, audio, format, threading.get_ident()))
        self.hook()
        samples = np.abs(np.frombuffer(audio, np.int16).astype(float))
        size = format.samples(0.01)
        loud = samples[: len(samples) // size * size].reshape(-1, size).max(axis=1, initial=0) > 1_000
        edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(int)))
        pairs = zip(edges[::2], edges[1::2], strict=True)
        return [
            Word(word, start * 0.01, stop * 0.01 if stop < len(loud) else None)
            for word, (start, stop) in zip(text.split(), pairs, strict=False)
        ]


class Call:
    """A call with an aligner, and its errors."""

    def __init__(self, aligner: Any, channels: int = 1, **options: Any) -> None:
        settings: dict[str, Any] = {"history_seconds": 0.5, "late_words_seconds": 60.0, "fades": CUTS} | options
        self.controller = PlaybackController(AudioFormat(48_000, channels), word_timing=aligner, **settings)
        self.errors: list[ErrorRaised] = []
        self.controller.on("error", self.errors.append)
        self.utterance = self.controller.utterance(text=TEXT, format=AudioFormat(RATE, channels))
        self.channels = channels

    def cut(self, seconds: float) -> UtteranceReport:
        for piece in np.array_split(speech(self.channels), 77):
            self.utterance.push(piece)
        self.utterance.end()
        for _ in range(round(seconds / 0.02)):
            self.controller.read(960)
        self.controller.interrupt()
        assert self.utterance.report is not None
        return self.utterance.report


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("number", range(1, 8))
async def test_right_to_the_word(number: int, channels: int) -> None:
    call = Call(Tones(), channels)
    call.cut(number * (WORD + GAP) - 0.04)
    report = await call.utterance.wait()
    assert (report.heard, report.heard_from) == (" ".join(TEXT.split()[:number]).rstrip(",."), "alignment")
    assert not call.errors


async def test_a_word_that_was_cut_does_not_count() -> None:
    call = Call(Tones())
    call.cut(2 * (WORD + GAP) + 0.2)
    assert (await call.utterance.wait()).heard == "One two"


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("history", [0.0, 0.3, 60.0])
async def test_it_gets_what_was_played_and_half_a_second_more_on_another_thread(history: float, channels: int) -> None:
    tones = Tones()
    call = Call(tones, channels, history_seconds=history)
    call.cut(2.2)
    await call.utterance.wait()
    [(text, audio, given, thread)] = tones.calls
    assert (text, given) == (TEXT, AudioFormat(16_000))
    assert 0 <= len(audio) - 2 * round(2.2 * 16_000) - 2 * round(0.5 * 16_000) <= 2 * 16
    assert thread != threading.get_ident()
    assert not any(thread == other.ident for other in threading.enumerate() if not other.daemon)
    # What follows is what would have come next: the tone that begins at 2.4 s, and the one that ends at 2.3 s.
    samples = np.abs(np.frombuffer(audio, np.int16).astype(float))
    assert samples[round(2.21 * 16_000) : round(2.28 * 16_000)].max() > 10_000
    assert samples[round(2.32 * 16_000) : round(2.38 * 16_000)].max() < 500
    assert samples[round(2.42 * 16_000) : round(2.6 * 16_000)].max() > 10_000


async def test_where_no_more_has_arrived_it_gets_what_was_played() -> None:
    tones = Tones()
    call = Call(tones)
    for piece in np.array_split(speech(), 10)[:5]:
        call.utterance.push(piece)
    for _ in range(80):
        call.controller.read(960)
    call.controller.interrupt()
    assert (await call.utterance.wait()).heard == "One two, three four"
    assert 0 <= 2 * round(1.6 * 16_000) - len(tones.calls[0][1]) <= 2 * 16  # a resampler holds some back


async def test_what_follows_and_can_not_be_played_is_left_out() -> None:
    tones = Tones()
    call = Call(tones)
    utterance = call.controller.utterance(text=TEXT, format=AudioFormat(RATE, encoding="f32le"))
    good = (speech() / 32_768).astype(np.float32)
    bad = np.concatenate([np.zeros(2 * RATE, np.float32), np.full(RATE, 1e9, np.float32)])
    utterance.push(good[: round(0.4 * RATE)])
    utterance.push(bad)
    for _ in range(10):
        call.controller.read(960)
    call.controller.interrupt()
    assert (await utterance.wait()).heard == ""
    assert not call.errors


async def test_after_a_rewind_as_well() -> None:
    tones = Tones()
    call = Call(tones)
    for piece in np.array_split(speech(), 10):
        call.utterance.push(piece)
    for _ in range(60):
        call.controller.read(960)
    call.controller.pause()
    call.controller.resume(rewind_seconds=0.3)
    call.controller.read(960)
    call.controller.interrupt()
    assert (await call.utterance.wait()).heard == "One two, three"
    assert 0 <= len(tones.calls[0][1]) - 2 * round((1.2 + 0.5) * 16_000) <= 2 * 16


def test_without_a_loop_it_is_there_for_whoever_asks() -> None:
    call = Call(Tones())
    report = call.cut(0.75)
    before = time.monotonic()
    while report.heard_from != "alignment" and time.monotonic() < before + 20:
        time.sleep(0.01)
    assert (report.heard, report.heard_from) == ("One two", "alignment")


async def test_until_it_is_there_it_is_estimated() -> None:
    go_on = threading.Event()
    call = Call(Tones(go_on.wait))
    report = call.cut(0.75)
    assert report.heard_from == "estimate"
    waiting = asyncio.create_task(call.utterance.wait())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    go_on.set()
    assert (await waiting).heard_from == "alignment"
    assert report.heard == "One two"
    assert call.utterance.turn.report.heard_from == "alignment"


async def test_a_failure_is_an_event_and_what_was_heard_is_estimated() -> None:
    def fail() -> None:
        raise ValueError("no model")

    call = Call(Tones(fail))
    report = call.cut(0.75)
    await until(lambda: bool(call.errors))
    assert report.heard_from == "estimate"
    assert TEXT.startswith(report.heard or "nothing")
    assert repr(call.errors[0].exception) == "ValueError('no model')"
    assert call.errors[0].source == "the aligner"


@pytest.mark.parametrize("result", [None, [("One", 0.0, 0.3)], [Word("One", -1.0)]])
async def test_so_is_a_result_that_is_none(result: Any) -> None:
    class Wrong:
        def align(self, *_: Any) -> Any:
            return result

    call = Call(Wrong())
    report = call.cut(0.75)
    await until(lambda: bool(call.errors))
    assert report.heard_from == "estimate"


async def test_one_that_finds_nothing_leaves_the_estimate() -> None:
    class Empty:
        def align(self, *_: Any) -> list[Word]:
            return []

    call = Call(Empty(), late_words_seconds=0.2)
    call.cut(0.75)
    assert (await call.utterance.wait()).heard_from == "estimate"
    assert not call.errors


async def test_one_that_is_too_slow_is_an_event_and_no_longer_waited_for() -> None:
    go_on = threading.Event()
    call = Call(Tones(go_on.wait), late_words_seconds=0.05)
    call.cut(0.75)
    report = await call.utterance.wait()
    assert (report.heard_from, report.final) == ("estimate", True)
    go_on.set()
    await until(lambda: bool(call.errors))
    assert isinstance(call.errors[0].exception, TimeoutError)
    assert "0.05 s" in str(call.errors[0].exception)
    assert report.heard_from == "estimate"


async def test_behind_one_that_never_returns_others_are_an_event_and_keep_no_audio() -> None:
    go_on = threading.Event()
    blocked = [Call(Tones(go_on.wait), late_words_seconds=0.01) for _ in range(2)]  # as many as there are threads
    try:
        for call in blocked:
            call.cut(0.75)
            await call.utterance.wait()
        tones = Tones()
        behind = Call(tones, late_words_seconds=0.01)
        behind.cut(0.75)
        errors = behind.errors
        assert (await behind.utterance.wait()).heard_from == "estimate"
        await until(lambda: bool(errors))
        assert isinstance(errors[0].exception, TimeoutError)
        kept = weakref.ref(tones)  # whatever keeps audio for it keeps it, too
        del tones, behind
        gc.collect()
        assert kept() is None
    finally:
        go_on.set()


async def test_it_does_nothing_where_nothing_has_to_be_found() -> None:
    tones = Tones()
    completed = Call(tones)
    completed.cut(10.0)
    unheard = Call(tones)
    unheard.cut(0.0)
    marked = Call(tones)
    marked.utterance.mark_words([Word("One", 0.0, 0.3), Word("two,", 0.4, 3.0)])
    marked.cut(1.0)
    silent = PlaybackController(word_timing=tones)
    utterance = silent.utterance()
    utterance.push(speech())
    silent.read(960)
    silent.interrupt()
    await asyncio.sleep(0.1)
    assert not tones.calls
    assert marked.utterance.report is not None
    assert marked.utterance.report.heard_from == "marks"


@pytest.mark.parametrize("converts", [False, True])
def test_of_what_was_played_to_its_end_no_audio_is_kept(converts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[KeptSpeech] = []
    go_on = threading.Event()
    if not converts:
        go_on.set()

    class Seen(KeptSpeech):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            kept.append(self)
            convert = self._converter.convert if self._converter is not None else bytes
            monkeypatch.setattr(self._converter, "convert", lambda audio: (go_on.wait(20), convert(audio))[1])

    monkeypatch.setattr("playback.core.late_words.KeptSpeech", Seen)
    call = Call(Tones())
    report = call.cut(10.0)
    assert report.heard_from == "completed"
    go_on.set()
    end = time.monotonic() + 20
    while kept[0].kept_bytes and time.monotonic() < end:
        time.sleep(0.001)
    assert kept[0].kept_bytes == 0


async def test_words_of_the_synthesizer_that_come_late_count_more() -> None:
    call = Call(Tones())
    call.cut(0.75)
    report = await call.utterance.wait()
    call.utterance.mark_words([Word("One", 0.0, 0.7), Word("two", 0.7, 3.0)])
    assert (report.heard, report.heard_from) == ("One", "marks")


def test_a_loop_that_is_gone_hurts_nobody() -> None:
    go_on = threading.Event()
    done = threading.Event()

    class Slow(Tones):
        def align(self, text: str, audio: bytes, format: AudioFormat) -> Sequence[Word]:
            words = super().align(text, audio, format)
            done.set()
            return words

    aligner = Slow(go_on.wait)

    async def talk() -> Any:
        call = Call(aligner, late_words_seconds=0.01)
        call.cut(0.75)
        await call.utterance.wait()
        return weakref.ref(call.controller)

    controller = asyncio.run(talk())
    gc.collect()
    assert controller() is None, "an alignment that is under way keeps no controller"
    go_on.set()
    assert done.wait(20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_process_that_was_forked_aligns() -> None:
    program = """
import os, time
import numpy as np
from playback import AudioFormat, PlaybackController
from playback.words import Word

class One:
    def align(self, text, audio, format):
        return [Word("one", 0.0, 0.4)]

def source():
    controller = PlaybackController(AudioFormat(16_000), word_timing=One())
    utterance = controller.utterance(text="one two")
    utterance.push(np.full(32_000, 9_000, np.int16))
    controller.read(16_000)
    controller.interrupt()
    end = time.monotonic() + 20
    while utterance.report.aligning and time.monotonic() < end:
        time.sleep(0.001)
    return utterance.report.heard_from

assert source() == "alignment"
child = os.fork()
if not child:
    os._exit(source() != "alignment")
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)


async def test_a_reader_goes_on_while_many_align() -> None:
    go_on = threading.Event()
    tones = Tones(go_on.wait)
    calls = [Call(tones) for _ in range(10)]
    for call in calls:
        call.cut(0.75)
    for call in calls:
        call.controller.read(960)
    go_on.set()
    reports = await asyncio.gather(*(call.utterance.wait() for call in calls))
    assert {report.heard for report in reports} == {"One two"}
    assert sum(thread.name == "aligning" for thread in threading.enumerate()) <= 2


def test_what_can_not_align_is_an_error() -> None:
    for wrong in (object(), Tones.align, 3):
        with pytest.raises(ValueError, match=r"word_timing is .*, expected 'estimate', None or an aligner"):
            PlaybackController(word_timing=wrong)  # type: ignore[arg-type]
