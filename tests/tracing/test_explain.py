"""Explain: the gaps of a call, their causes and lengths, from its trace alone; and nothing of a file is obeyed."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from playback import AudioFormat, Fades, PlaybackController
from playback.cli import main
from playback.lost_peer import HOLD
from playback.pacing import Pacer
from playback.tracing import Trace
from playback.tracing.explain import Gap, explain
from playback.tracing.pages import as_html, as_text
from tests.signals import FRAME, RATE

pytestmark = pytest.mark.portable

FRAME_SECONDS = 0.020
EPOCH = 1_800_000_000.0
"""When these calls begin: 2027-01-15 08:00:00 UTC."""


class Call:
    """A call whose wall clock goes with the samples read."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self.controller: PlaybackController = PlaybackController(
            AudioFormat(RATE), fades=Fades(interrupt_seconds=0.06), clock=self.now
        )
        self.trace = Trace(self.controller, limit=None)

    def now(self) -> float:
        return EPOCH + self.skipped + (self.controller.position / RATE if hasattr(self, "controller") else 0.0)

    def read(self, seconds: float) -> None:
        for _ in range(round(seconds / FRAME_SECONDS)):
            self.controller.read(FRAME)

    def gaps(self, cause: str) -> list[Gap]:
        return [gap for gap in explain(self.trace).gaps if gap.cause == cause]


def speech(seconds: float) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.full(round(seconds * RATE), 1_000, np.int16)


def eventful(call: Call) -> None:
    """A call with each kind of gap."""
    controller = call.controller
    utterance = controller.utterance(id="one")
    utterance.enqueue()
    call.read(0.4)  # the first audio is late
    utterance.push(speech(1.0))
    call.read(1.6)  # 0.6 s of underrun
    utterance.push(speech(30))
    call.read(0.5)
    call.skipped += 0.36
    controller.report_stall(0.36)
    call.read(0.5)
    controller.pause(by=HOLD)
    call.read(2.0)
    controller.resume(by=HOLD)
    call.read(0.2)
    controller.pause()
    call.read(0.8)
    controller.resume()
    controller.gain_db -= 15.0
    call.read(0.7)
    controller.gain_db += 15.0
    call.read(0.3)
    controller.interrupt(lock=True)
    call.read(1.0)
    utterance.push(speech(0.5))
    controller.unlock()
    controller.report_far_end(0.0, 0.010, None)
    controller.report_far_end(0.25, 0.030, 0.080)
    following = controller.utterance(id="two")
    following.push(speech(0.4))
    following.end()
    call.read(0.6)
    controller.close()


def test_each_gap_has_its_cause_and_its_length() -> None:
    call = Call()
    eventful(call)
    gaps = explain(call.trace).gaps
    assert [(gap.cause, round(gap.begin, 3), round(gap.seconds, 3)) for gap in gaps] == [
        ("synthesis slow", 0.0, 0.4),
        ("synthesis slow", 1.4, 0.6),
        ("loop blocked", 2.5, 0.36),
        ("network lost", 3.0, 2.0),
        ("paused", 5.2, 0.8),
        ("ducked", 6.0, 0.7),
        ("interrupted", 7.06, 0.94),
    ]
    assert [gap.detail for gap in gaps] == [
        "its first audio was late",
        "an utterance ran out of audio",
        "the reader came late and skipped it",
        "nothing came from the peer",
        "by application",
        "speech 15 dB less loud",
        "27.80 s discarded, silent after 0.06 s",
    ]


def test_states_turns_refusals_and_the_far_end_are_found_too() -> None:
    call = Call()
    eventful(call)
    found = explain(call.trace)
    assert (found.began, found.complete) == (EPOCH, True)
    assert found.seconds == pytest.approx(call.controller.position / RATE)
    assert sum(span.end - span.begin for span in found.spans) == pytest.approx(found.seconds)
    assert [span.state for span in found.spans] == [
        "speaking",
        "paused",
        "speaking",
        "paused",
        "speaking",
        "interrupted",
        "input_locked",
        "speaking",
        "idle",
    ]
    assert [(turn.id, turn.outcome, turn.first_audio) for turn in found.turns] == [
        ("one", "interrupted", 0.4),
        ("two", "completed", 0.0),
    ]
    assert found.silenced == pytest.approx([0.06])
    assert found.refused == {"interrupted": 0.5}
    assert [(loss, jitter, trip) for _, loss, jitter, trip in found.far_end] == [(0.0, 0.01, None), (0.25, 0.03, 0.08)]


def test_gaps_carry_the_wall_clock_of_their_beginning() -> None:
    call = Call()
    eventful(call)
    for gap in explain(call.trace).gaps:
        skipped = 0.36 if gap.begin >= 2.5 else 0.0
        assert gap.wall_time == pytest.approx(EPOCH + gap.begin + skipped, abs=0.02)


def test_a_gap_that_lasts_to_the_end_of_the_trace_is_one() -> None:
    call = Call()
    call.controller.push(speech(0.1))
    call.read(1.1)
    [gap] = call.gaps("synthesis slow")
    assert (gap.begin, gap.seconds) == pytest.approx((0.1, 1.0))


def test_a_turn_that_has_nothing_enqueued_is_slow_synthesis() -> None:
    call = Call()
    turn = call.controller.turn()
    one = turn.utterance()
    one.push(speech(0.2))
    one.end()
    call.read(0.6)
    two = turn.utterance()
    two.push(speech(0.2))
    two.end()
    turn.end()
    call.read(0.4)
    [gap] = call.gaps("synthesis slow")
    assert gap.seconds == pytest.approx(0.4)
    assert gap.detail == "the turn had nothing enqueued"


class Paced(Call):
    """A call that is read as a track does it, by a clock that goes on as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.pacer = Pacer()
        self.clock = 0.0

    def now(self) -> float:
        return EPOCH + getattr(self, "clock", 0.0)

    def wait(self, seconds: float) -> None:
        """Let time go by, and read each frame when it is due."""
        end = self.clock + seconds
        while self.clock + self.pacer.wait(self.clock) < end:
            self.clock += self.pacer.wait(self.clock)
            _, late = self.pacer.tick(self.clock)
            if late:
                self.controller.report_stall(late)
            self.controller.read(FRAME)
        self.clock = end

    def block(self, seconds: float) -> None:
        """Let time go by without a read, as where something blocks the loop."""
        self.clock += seconds


@pytest.mark.parametrize("shift", [0.0, 0.003, 0.011, 0.019])
def test_a_call_that_stalled_ran_out_and_was_interrupted_is_explained_by_its_file(shift: float, tmp_path: Path) -> None:
    call = Paced()
    utterance = call.controller.utterance(text="a long answer")
    utterance.push(speech(0.3))
    call.wait(0.3 + 0.4 + shift)  # 0.4 s of it without audio
    utterance.push(speech(5.0))
    call.wait(0.4)
    call.block(0.3)
    call.wait(0.4)
    call.controller.interrupt()
    call.wait(0.5)
    last = call.controller.utterance()
    last.push(speech(0.2))
    last.end()
    call.wait(0.4)
    call.controller.close()
    call.trace.save(tmp_path / "call.jsonl")
    gaps = explain(Trace.load(tmp_path / "call.jsonl")).gaps
    assert [gap.cause for gap in gaps] == ["synthesis slow", "loop blocked", "interrupted"]
    ran_out, blocked, interrupted = gaps
    assert ran_out.seconds == pytest.approx(0.4 + shift, abs=FRAME_SECONDS + 1e-9)
    assert blocked.seconds == pytest.approx(0.3, abs=FRAME_SECONDS + 1e-9)
    assert interrupted.seconds == pytest.approx(0.5 - 0.06, abs=FRAME_SECONDS + 1e-9)  # it fades for 60 ms
    begins = (0.3, 0.3 + 0.4 + shift + 0.4, 0.3 + 0.4 + shift + 0.4 + 0.3 + 0.4 + 0.06)
    for gap, begin in zip(gaps, begins, strict=True):
        assert gap.wall_time is not None
        assert gap.wall_time - EPOCH == pytest.approx(begin, abs=0.3 + 0.021 if gap is blocked else 0.021)


HOSTILE = "<script>alert('x')</script>\x1b[31m\u202e\"&amp;\n"


def hostile_file(path: Path) -> None:
    """A trace in which every string that may be anything is hostile."""
    call = Call()
    eventful(call)
    call.trace.save(path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line.get("event") in ("paused", "resumed"):
            line["by"] = HOSTILE
        if line.get("event") == "audio_refused":
            line["reason"] = HOSTILE
        if isinstance(line.get("report"), dict):
            line["report"] |= {"id": HOSTILE, "outcome": HOSTILE, "played": HOSTILE, "discarded": {"a": [1]}}
        if line.get("event") == "interrupted":
            line["discarded"] = HOSTILE
        if line.get("edge"):
            line |= {"source": line["source"], "wall_time": 253_402_300_799.0}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


class Elements(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_nothing_of_a_file_is_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "<img src=x>\x1b[2J.jsonl"
    hostile_file(path)
    assert main(["explain", str(path), "--html", str(tmp_path / "report.html")]) == 0
    text, page = capsys.readouterr().out, (tmp_path / "report.html").read_text()
    for form in (text, page):
        assert all(character.isprintable() or character == "\n" for character in form)
        assert "\\x1b[31m\\u202e" in form
    elements = Elements(page)
    sections = {"html", "meta", "title", "style", "h1", "h2", "p"}
    assert elements.tags == sections | {"div", "b", "i", "table", "tr", "th", "td"}
    assert elements.attributes == {"lang", "charset", "class", "style", "title"}
    assert "<script>alert('x')</script>" in elements.text
    assert "http" not in page


def test_the_command_shows_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = Call()
    eventful(call)
    call.trace.save(tmp_path / "call.jsonl")
    assert main(["explain", str(tmp_path / "call.jsonl"), "--html", str(tmp_path / "call.html")]) == 0
    text, page = capsys.readouterr().out, (tmp_path / "call.html").read_text()
    assert "from 2027-01-15 08:00:00 UTC" in text
    for words in ("synthesis slow", "loop blocked", "network lost", "paused", "ducked", "interrupted", "packets lost"):
        assert words in text
        assert words in page
    assert re.search(r"^  1\.40 s +08:00:01 +0\.60 +synthesis slow +an utterance ran out of audio$", text, re.MULTILINE)
    lanes = [line for line in text.splitlines() if "█" in line]
    assert {len(line.split()[-1]) for line in lanes} == {60}
    assert as_text(explain(call.trace), "x").splitlines()[1:] == text.splitlines()[1:]
    assert as_html(explain(call.trace), "x").count("<i ") == page.count("<i ") > 10


@pytest.mark.parametrize("content", ["", "{}\n", '{"trace": 3}\n'])
def test_what_is_no_trace_is_refused(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "call.jsonl"
    path.write_text(content)
    with pytest.raises(SystemExit):
        main(["explain", str(path)])
    assert "line 1" in capsys.readouterr().err


def test_a_trace_without_records_is_a_call_without_gaps() -> None:
    call = Call()
    found = explain(call.trace)
    assert as_text(found, "call.jsonl") == "call.jsonl: 0.00 s; no gaps\n\n"
    assert "no gaps" in as_html(found, "call.jsonl")
