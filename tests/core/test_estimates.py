"""What a report says was heard where no words were marked: an estimate, by the share of the speech that was played."""

from __future__ import annotations

import gc
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, PlaybackController, Utterance
from playback.report import UtteranceReport
from playback.tracing import Trace
from playback.tracing.replay import replay
from playback.words import Word
from playback.words.estimate import USUAL_RATE
from playback.words.lengths import lengths
from playback.words.tokens import tokens
from tests.signals import CUTS

RATE = 24_000
TEXT = "Your table is booked for eight, and the kitchen is open until eleven."


def speech(text: str = TEXT, rate: int = RATE, speed: float = 1.0) -> tuple[NDArray[np.int16], list[float]]:
    """Synthetic speech, 0.3 s of silence around it and in its pause, and where each word ends, in seconds."""
    written = tokens(text)
    seconds = [0.3]
    ends = []
    pieces = [np.zeros(round(0.3 * rate))]
    for number, length in enumerate(lengths(text, written)):
        duration = length / USUAL_RATE / speed
        pieces.append(12_000 * np.sin(2 * np.pi * 200 * np.arange(round(duration * rate)) / rate))
        seconds.append(duration)
        ends.append(sum(seconds))
        if "," in text[written[number].end : written[number].end + 1]:
            pieces.append(np.zeros(round(0.3 * rate)))
            seconds.append(0.3)
    pieces.append(np.zeros(round(0.3 * rate)))
    return np.rint(np.concatenate(pieces)).astype(np.int16), ends


def cut(utterance: Utterance, controller: PlaybackController, seconds: float) -> UtteranceReport:
    """Play so much of an utterance, then interrupt it."""
    frame = controller.format.samples(0.02)
    for _ in range(round(seconds / 0.02)):
        controller.read(frame)
    controller.interrupt()
    assert utterance.report is not None
    return utterance.report


def made(output: int = 48_000, **options: Any) -> PlaybackController:
    return PlaybackController(AudioFormat(output), input_format=AudioFormat(RATE), fades=CUTS, **options)


@pytest.mark.parametrize("output", [8_000, 24_000, 48_000])
@pytest.mark.parametrize("kind", ["one push", "frames", "floats"])
@pytest.mark.parametrize("history", [0.0, 2.0, 60.0])
def test_right_to_the_word_where_the_speech_is_even(output: int, kind: str, history: float) -> None:
    audio, ends = speech()
    words = TEXT.split()
    for number in (1, 4, 6, 11):
        controller = made(output, history_seconds=history)
        utterance = controller.utterance(text=TEXT)
        if kind == "one push":
            utterance.push(audio.tobytes())
        elif kind == "floats":
            utterance.push(audio.astype(np.float32) / 32768)
        else:
            for piece in np.split(audio, range(480, len(audio), 480)):
                utterance.push(piece.tobytes())
        utterance.end()
        report = cut(utterance, controller, ends[number - 1] + 0.05)
        assert (report.heard, report.heard_from) == (" ".join(words[:number]).removesuffix(","), "estimate")


def test_all_of_the_text_where_silence_was_cut_off() -> None:
    audio, ends = speech()
    controller = made()
    utterance = controller.utterance(text=TEXT)
    utterance.push(audio)
    utterance.end()
    assert cut(utterance, controller, ends[-1] + 0.1).heard == TEXT


def test_nothing_where_only_silence_was_played() -> None:
    controller = made()
    utterance = controller.utterance(text=TEXT)
    utterance.push(speech()[0])
    utterance.end()
    report = cut(utterance, controller, 0.2)
    assert (report.heard, report.heard_from) == ("", "estimate")


@pytest.mark.parametrize("ended", ["no", "failed", "locked"])
def test_while_synthesis_runs_by_the_speaking_rate(ended: str) -> None:
    audio, ends = speech()
    controller = made()
    utterance = controller.utterance(text=TEXT)
    utterance.push(audio[: round((ends[7] + 0.1) * RATE)])
    if ended == "failed":
        utterance.fail(ConnectionError("gone"))
    elif ended == "locked":
        controller.lock()
    report = cut(utterance, controller, ends[4] + 0.05)
    assert (report.heard, report.heard_from) == ("Your table is booked for", "estimate")


@pytest.mark.parametrize("speed", [0.6, 1.6])
def test_the_speaking_rate_is_that_of_what_was_said_before(speed: float) -> None:
    audio, ends = speech(speed=speed)
    heard = []
    for said_before in (0, 8):
        controller = made()
        for _ in range(said_before):
            before = controller.utterance(text=TEXT)
            before.push(audio)
            before.end()
        while controller.buffered:
            controller.read(960)
        utterance = controller.utterance(text=TEXT)
        utterance.push(audio[: round((ends[7] + 0.1) * RATE)])
        report = cut(utterance, controller, ends[5] - 0.02)
        assert report.heard is not None
        heard.append(len(report.heard.split()))
    assert abs(heard[1] - 5) <= abs(heard[0] - 5)
    assert abs(heard[1] - 5) <= 1


def test_a_text_that_is_appended_later_counts() -> None:
    audio, ends = speech()
    controller = made(history_seconds=0.0)
    utterance = controller.utterance()
    utterance.push(audio)
    controller.read(480)
    for word in TEXT.split():
        utterance.append_text(f"{word} ")
        controller.read(480)
    utterance.end()
    report = cut(utterance, controller, ends[3] + 0.05 - 14 * 0.01)
    assert report.heard == "Your table is booked"


def test_words_that_come_late_replace_it() -> None:
    audio, ends = speech()
    controller = made()
    utterance = controller.utterance(text=TEXT)
    utterance.push(audio)
    report = cut(utterance, controller, ends[4] + 0.05)
    assert (report.heard_from, report.final) == ("estimate", False)
    utterance.mark_words([Word("Your", 0.0, 0.1), Word("table", 0.1, 99.0)])
    assert (report.heard, report.heard_from) == ("Your", "marks")


def test_none_without_a_text_or_where_it_is_not_wanted() -> None:
    for text, timing in ((None, "estimate"), (TEXT, None)):
        controller = made(word_timing=timing)
        utterance = controller.utterance(text=text)
        utterance.push(speech()[0])
        report = cut(utterance, controller, 1.0)
        assert (report.heard, report.heard_from) == (None, None)


@pytest.mark.parametrize("timing", ["marks", True, 0])
def test_another_word_is_an_error(timing: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"word_timing is .*, expected"):
        PlaybackController(word_timing=timing)


def test_a_report_keeps_it_when_the_controller_is_gone_and_when_it_is_pickled() -> None:
    controller = made()
    utterance = controller.utterance(text=TEXT)
    utterance.push(speech()[0])
    report = cut(utterance, controller, 2.0)
    heard = report.heard
    del controller, utterance
    gc.collect()
    assert report.final
    assert heard == report.heard == pickle.loads(pickle.dumps(report)).heard
    assert pickle.loads(pickle.dumps(report)).heard_from == "estimate"


def test_all_audio_is_freed_in_the_reads_that_follow() -> None:
    controller = made()
    utterance = controller.utterance(text=TEXT)
    for _ in range(3_000):
        utterance.push(np.full(480, 9_000, np.int16))
    report = cut(utterance, controller, 2.0)
    for _ in range(100):
        controller.read(960)
    assert controller._transitions.queue.is_clean
    assert controller._transitions.fast.read is not None, "reads are fast again"
    assert report.heard is not None


def test_it_is_the_same_whenever_it_is_asked_for() -> None:
    heard = set()
    for reads in (0, 1, 5, 100):
        controller = made()
        utterance = controller.utterance(text=TEXT)
        for piece in np.split(speech()[0], range(480, len(speech()[0]), 480)):
            utterance.push(piece)
        utterance.end()
        report = cut(utterance, controller, 2.0)
        for _ in range(reads):
            controller.read(960)
        heard.add(report.heard)
    assert len(heard) == 1


def test_a_rewind_counts_nothing_twice() -> None:
    audio, ends = speech()
    controller = made()
    utterance = controller.utterance(text=TEXT)
    utterance.push(audio)
    utterance.end()
    for _ in range(4):
        for _ in range(50):
            controller.read(480)
        controller.pause()
        controller.resume(rewind_seconds=0.25)
    controller.read(48_000)
    report = cut(utterance, controller, ends[5] + 0.05 - 2.0)
    assert report.heard == "Your table is booked for eight"


def test_a_replay_finds_no_difference() -> None:
    controller = made()
    with Trace(controller) as trace:
        utterance = controller.utterance(text=TEXT)
        utterance.push(speech()[0])
        cut(utterance, controller, 2.0)
    finished = next(event for event in trace.events if event.name == "utterance_finished")
    assert finished.details["report"]["heard_from"] == "estimate"
    assert trace.differences(replay(trace)) == []
