"""What is drawn from recordings of a listener is right, to the sample; one short run with Chromium shows the rest."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from numpy.typing import NDArray

import benchmarks.browser.__main__ as heard
from benchmarks.browser import figures as heard_figures
from benchmarks.browser.__main__ import CALLS, main, middle_of, rows
from benchmarks.browser.chromium import loopback_only
from benchmarks.browser.figures import GOLDEN, QUICK, Effort, Found, Onset, Round, Stall, full, judge
from benchmarks.browser.sender import SUBJECTS, Done
from benchmarks.browser.signals import (
    ONSET,
    RATE,
    Aftermath,
    Delays,
    Reads,
    Recording,
    aftermath,
    first_heard,
    heard_delays,
    last_heard,
    level,
    likeness,
    mean_delays,
    pcm,
    tone,
    voice,
)
from tests.needs import need_program

PIECE = 2_048
BEGIN = 50.0
COUNTED = 8_192
"""What the recorder had counted before the recording."""


def received(samples: NDArray[np.float64], late: dict[int, float] | None = None) -> Recording:
    """A recording whose first sample was played at ``BEGIN``; some pieces come late, by so many seconds."""
    whole = np.zeros(math.ceil(len(samples) / PIECE) * PIECE, np.float32)
    whole[: len(samples)] = samples
    ends = np.arange(PIECE, len(whole) + 1, PIECE)
    arrived = BEGIN + (ends - PIECE / 2) / RATE
    for piece, seconds in (late or {}).items():
        arrived[piece] += seconds
    return Recording.received(whole, COUNTED + ends.astype(float), arrived)


def silence(seconds: float) -> NDArray[np.float64]:
    return np.zeros(round(seconds * RATE))


# A recording's clock


def test_a_sample_s_time_and_a_time_s_sample_are_each_other_s_inverse() -> None:
    recording = received(silence(3))
    for index in (0, 1, PIECE - 1, PIECE, 70_000, 144_000):
        assert recording.at(index) == pytest.approx(BEGIN + index / RATE, abs=1e-9)
        assert recording.index(BEGIN + index / RATE) == index
    assert recording.index(BEGIN - 10) == 0
    assert recording.index(BEGIN + 10) == len(recording.samples)


def test_a_piece_that_comes_late_changes_nothing() -> None:
    recording = received(silence(3), {0: 0.5, 7: 0.04, 8: 0.03, 30: 0.2})
    assert recording.at(10 * PIECE) == pytest.approx(BEGIN + 10 * PIECE / RATE, abs=1e-9)
    assert recording.at(0) == pytest.approx(BEGIN, abs=1e-9)


def test_a_clock_that_falls_behind_for_good_is_followed() -> None:
    recording = received(silence(6), dict.fromkeys(range(60, 141), 0.1))
    assert recording.at(20 * PIECE) == pytest.approx(BEGIN + 20 * PIECE / RATE, abs=1e-9)
    assert recording.at(110 * PIECE) == pytest.approx(BEGIN + 110 * PIECE / RATE + 0.1, abs=1e-9)


def test_what_ends_earlier_keeps_its_clock() -> None:
    recording = received(np.arange(3.0 * RATE)).until(BEGIN + 1.5)
    assert len(recording.samples) == 1.5 * RATE
    assert recording.at(0) == pytest.approx(BEGIN)
    assert list(recording.between(BEGIN + 1, BEGIN + 1 + 2 / RATE)) == [RATE, RATE + 1]


# Tones


def test_a_tone_begins_and_ends_at_its_first_and_last_sample() -> None:
    sound = tone(1, RATE)
    recording = received(np.concatenate([silence(0.5), sound, silence(0.5)]))
    usual = level(recording.between(BEGIN + 0.6, BEGIN + 1.4))
    assert usual == pytest.approx(0.5, rel=1e-3)
    begin = first_heard(recording, BEGIN + 0.1, BEGIN + 2, 0.01 * usual)
    end = last_heard(recording, BEGIN + 0.1, BEGIN + 2, 0.01 * usual)
    assert begin == pytest.approx(BEGIN + 0.5 + 1 / RATE, abs=1e-6)  # a sine begins with a zero
    assert end == pytest.approx(BEGIN + 1.5, abs=1e-6)
    assert first_heard(recording, BEGIN + 1.6, BEGIN + 1.9, 0.01 * usual) is None
    assert last_heard(recording, BEGIN + 0.1, BEGIN + 0.4, 0.01 * usual) is None


def test_there_is_no_level_where_there_is_nothing() -> None:
    assert level(np.zeros(0, np.float32)) == 0
    assert level(np.zeros(4_800, np.float32)) == 0


def spoken(begin: float, end: float) -> Recording:
    """A tone between two times after ``BEGIN``, within five seconds."""
    return received(np.concatenate([silence(begin), tone(end - begin, RATE), silence(5 - end)]))


def read_from(begin: float) -> Done:
    return Done([], [], [(begin + number * 0.02, number * 960) for number in range(200)])


def test_a_round_shows_how_late_a_tone_began_and_ended() -> None:
    found = judge(spoken(1.05, 2.04), "interrupt", read_from(BEGIN + 0.995), BEGIN + 1, BEGIN + 2, BEGIN + 3)
    assert found.command == "interrupt"
    assert found.push_to_sound_ms == pytest.approx(50 + 1000 / RATE, abs=1e-3)
    assert found.to_silence_ms == pytest.approx(40, abs=1e-3)
    assert found.to_rest_ms == pytest.approx(40, abs=0.05)
    assert found.push_phase_ms == pytest.approx(5)
    assert found.command_phase_ms == pytest.approx(5)
    assert found.level == pytest.approx(0.5, rel=1e-3)


def test_a_round_without_a_beginning_or_an_end_has_none() -> None:
    early = judge(spoken(0.9, 2.04), "pause", read_from(BEGIN), BEGIN + 1, BEGIN + 2, BEGIN + 3)
    assert early.push_to_sound_ms is None
    assert early.to_silence_ms is not None
    late = judge(spoken(1.05, 3.5), "pause", read_from(BEGIN), BEGIN + 1, BEGIN + 2, BEGIN + 3)
    assert late.push_to_sound_ms is not None
    assert late.to_silence_ms is None
    never = judge(received(silence(5)), "pause", read_from(BEGIN), BEGIN + 1, BEGIN + 2, BEGIN + 3)
    assert (never.push_to_sound_ms, never.to_silence_ms) == (None, None)


# Voices


@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_a_voice_is_the_same_sound_at_any_rate(rate: int) -> None:
    sound = voice(2, rate, 3)
    assert len(sound) == 2 * rate
    assert 0.2 < np.abs(sound).max() < 1
    spectrum = np.abs(np.fft.rfft(sound)) ** 2
    at = np.fft.rfftfreq(len(sound), 1 / rate)
    assert spectrum[(at < 200) | (at > 4_400)].sum() < 0.01 * spectrum.sum()
    both = voice(2, RATE, 3)[:: RATE // rate]
    assert np.dot(sound, both) / np.linalg.norm(sound) / np.linalg.norm(both) > 0.99


@pytest.mark.parametrize("seed", range(1, 21))
def test_an_onset_is_found_where_it_is_and_nowhere_else(seed: int) -> None:
    sound = voice(0.6, RATE, seed)
    onset = sound[:ONSET]
    recording = np.concatenate([np.zeros(1_234), 0.3 * sound, np.zeros(1_000)])
    match, place = likeness(onset, recording)
    assert match == pytest.approx(1)
    assert place == 1_234
    recording[: 1_234 + ONSET] = 0
    assert likeness(onset, recording)[0] < 0.5  # below the target: what came later does not stand in for it


def test_nothing_is_like_nothing() -> None:
    sound = voice(0.02, RATE, 1)
    assert likeness(sound, np.zeros(5_000))[0] == 0
    assert likeness(sound, np.zeros(10)) == (0, 0)


def test_samples_are_little_endian_and_clipped() -> None:
    assert pcm(np.array([0.0, 1.0, -2.0])) == b"\x00\x00\xff\x7f\x01\x80"


# Delays


def test_a_mean_delay_is_that_of_what_was_given_out_between_two_looks() -> None:
    delays = mean_delays(
        np.array([1.0, 1.1, 1.2, 1.3]),
        np.array([10.0, 10.0 + 4_800 * 0.05, 250.0, 346.0]),
        np.array([0, 4800, 4800, 5760]),
    )
    assert list(delays.times) == pytest.approx([1.1, 1.3])
    assert list(delays.seconds) == pytest.approx([0.05, 0.1])


def test_a_delay_is_heard_in_the_sound_itself() -> None:
    """50 ms; then the sender stands still for 400 ms, and all that follows comes 120 ms late."""
    sound = voice(6, RATE, 5)
    half, frame = 3 * RATE, 960
    reads = [
        BEGIN + 0.5 + 0.02 * number + (0.4 if number >= half / frame else 0) for number in range(6 * RATE // frame)
    ]
    played = [silence(0.55), sound[:half], silence(0.47), sound[half:], silence(0.5)]
    recording = received(np.concatenate(played))
    delays = heard_delays(recording, sound, Reads(np.array(reads), frame * np.arange(len(reads), dtype=float)))
    before = delays.seconds[delays.times < BEGIN + 3.3]
    after = delays.seconds[delays.times > BEGIN + 4.2]
    assert len(before) > 25
    assert len(after) > 20
    assert before == pytest.approx(0.05, abs=1e-3)
    assert after == pytest.approx(0.12, abs=1e-3)
    found = aftermath(delays, reads[149] + 0.02, reads[150])
    assert found is not None
    assert found.before_ms == pytest.approx(50, abs=1)
    assert found.greatest_ms == pytest.approx(120, abs=1)
    assert found.normal_seconds is None


def delays_of(course: dict[float, float], until: float = 15.0) -> Delays:
    """Every 100 ms from -3 s on: 50 ms, and from each time on another one."""
    times = np.arange(-3, until, 0.1) + 0.05
    seconds = np.full(len(times), 0.05)
    for begin, delay in course.items():
        seconds[times > begin] = delay
    return Delays(times, seconds)


@pytest.mark.parametrize(
    ("course", "greatest", "normal"),
    [
        ({}, 50, 0),
        ({0: 0.089}, 89, 0),  # within 40 ms
        ({0: 0.4, 2: 0.05}, 400, 1.95),
        ({0: 0.4, 2: 0.05, 2.5: 0.3, 3: 0.05}, 400, 2.95),  # half a second is too short
        ({0: 0.05, 6: 0.4, 7: 0.05}, 400, 0),  # was normal, whatever came later
        ({0: 0.4}, 400, None),
        ({0: 0.4, 14.5: 0.05}, 400, None),  # not for a second
    ],
)
def test_a_delay_is_normal_again_once_it_stays(
    course: dict[float, float], greatest: float, normal: float | None
) -> None:
    found = aftermath(delays_of(course), -0.5, 0)
    assert found is not None
    assert found.before_ms == pytest.approx(50)
    assert found.greatest_ms == pytest.approx(greatest)
    assert found.normal_seconds == (None if normal is None else pytest.approx(normal))


def test_without_delays_nothing_is_shown() -> None:
    assert aftermath(delays_of({}), -10, -9.5) is None
    assert aftermath(delays_of({}), 20, 21) is None


# The table, and what is aimed at


def found_of(subject: str, late: float = 0.0) -> Found:
    """Results; so many milliseconds later than they should be."""
    both = ("pause", "interrupt")
    rounds = [
        Round(each, 30 + number + late, 40 + number + late, 35, 1, 2, 0.5) for each in both for number in range(3)
    ]
    onsets = [Onset(0.98 - 0.01 * late, 30)] * 3
    stalls = [
        Stall(
            seconds,
            seconds,
            Aftermath(20, 30 + late, late / 10 or 0.2),
            Aftermath(50, 60, 0.2),
            [(0.1, 20)],
        )
        for seconds in full(1).stalls
    ]
    return Found(subject, rounds, onsets, stalls, [0.1, 0.2], 0.5)


def pretend(monkeypatch: pytest.MonkeyPatch, late: float = 0.0) -> None:
    monkeypatch.setattr(
        heard, "listen", lambda subjects, *_: ("1.2", [found_of(subject.name, late) for subject in subjects])
    )


def test_the_table_and_the_file_have_every_figure_of_every_track(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch)
    file = tmp_path / "heard.json"
    assert main(["--check", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert all(subject.name in printed for subject in SUBJECTS)
    assert all(line.name in printed for line in CALLS)
    assert all(f"{seconds:g} s" in printed for seconds in full(20).stalls)
    assert "MISSED" not in printed
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert "interrupt to silence 24 kHz frames 41 ms 40 42 ≤ 75 ms ok" in lines
    assert "48 kHz frames 41 ms 40 42 ≤ 50 ms ok" in lines
    assert "Chromium 1.2" in printed
    found = json.loads(file.read_text(encoding="utf-8"))
    assert {"Chromium", "aiortc", "av"} <= set(found["machine"]["versions"])
    assert [(each["figure"], each["subject"]) for each in found["figures"]] == [
        (line.name, subject.name) for line in rows(full(20)) for subject in SUBJECTS
    ]
    assert [each["subject"] for each in found["raw"]] == [subject.name for subject in SUBJECTS]
    assert len(found["raw"][0]["rounds"]) == 6


def test_a_missed_target_is_shown_and_fails_only_a_check(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, late=40)
    assert main([]) == 0
    assert capsys.readouterr().out.count("MISSED") == 4 + 4 + 2
    assert main(["--check", "--only", "Opus"]) == 1
    assert capsys.readouterr().out.count("MISSED") == 3


def test_what_is_missing_meets_no_target_and_is_drawn_as_a_dash(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = found_of("Opus")
    rounds = [replace(found.rounds[-1], to_silence_ms=None), *found.rounds[:-1]]
    stalls = [replace(each, buffered=Aftermath(20, 30, None)) for each in found.stalls]
    monkeypatch.setattr(heard, "listen", lambda *_: ("1.2", [replace(found, rounds=rounds, stalls=stalls)]))
    assert main(["--check"]) == 1
    printed = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert "interrupt to silence Opus 41 ms 40 – ≤ 50 ms MISSED" in lines
    assert "1 s Opus 20 ms 30 ms – s 50 ms 60 ms 0.20 s ≤ 1 s MISSED" in lines


def test_a_median_needs_all_values() -> None:
    assert middle_of([3, 1, 2]) == 2
    assert middle_of([3, None, 2]) is None
    assert middle_of([]) is None


def test_without_a_browser_that_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.browser.chromium.shutil.which", lambda _: None)
    with pytest.raises(SystemExit, match="2"):
        main(["--quick"])
    assert "no chromium" in capsys.readouterr().err


@pytest.mark.parametrize("rounds", ["0", "-1", "x"])
def test_there_is_at_least_one_round(rounds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--rounds", rounds])
    assert "--rounds" in capsys.readouterr().err


def test_calls_are_spread_over_the_time_between_two_reads() -> None:
    phases = sorted(GOLDEN * number % 1 for number in range(20))
    assert max(np.diff([*phases, phases[0] + 1])) < 0.1


def test_no_other_address_than_the_loopback_s_is_offered() -> None:
    other = "a=candidate:1 1 udp 1 192.0.2.7 5000 typ host\r\n"
    own = "a=candidate:2 1 udp 1 127.0.0.1 5001 typ host\r\n"
    assert loopback_only(f"v=0\r\n{other}{own}a=mid:0\r\n") == f"v=0\r\n{own}a=mid:0\r\n"


# What is disturbed


class Disturbed:
    """A machine of which others take cores, for so many seconds in one measurement after the other; then no more."""

    def __init__(self, thefts: list[float]) -> None:
        self.thefts = iter(thefts)
        self.stolen = 7.0
        self.connections: list[list[str]] = []

    def session(self, *_: object) -> MagicMock:
        """One on a new connection."""
        done: list[str] = []
        self.connections.append(done)
        late_ms: list[float] = []

        def measure(kind: str, number: int) -> list[str]:
            self.stolen += next(self.thefts, 0.0)
            late_ms.append(number)
            done.append(f"{kind} {number}")
            return done[-1:]

        return MagicMock(late_ms=late_ms, round=partial(measure, "round"), onset=partial(measure, "onset"))


def measured(monkeypatch: pytest.MonkeyPatch, machine: Disturbed, repeats: int) -> Found:
    """What is found in two rounds and two onsets."""
    connected = nullcontext(MagicMock(clock_error_ms=lambda: 0.5))
    monkeypatch.setattr(heard_figures, "Session", machine.session)
    for name in ("sending", "listening"):
        monkeypatch.setattr(heard_figures, name, lambda *_: connected)
    monkeypatch.setattr(heard_figures, "stolen_seconds", lambda: machine.stolen)
    effort = Effort(rounds=2, stalls=(), stall_rounds=0, repeats=repeats)
    return heard_figures.measure(MagicMock(), SUBJECTS[0], effort, lambda _: None)


def test_what_is_disturbed_is_measured_again_on_another_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Disturbed([0.01, 0.3])
    found = measured(monkeypatch, machine, repeats=5)
    assert machine.connections == [["round 0", "round 1"], ["round 1", "onset 0", "onset 1"]]
    assert [found.rounds, found.onsets] == [["round 0", "round 1"], ["onset 0", "onset 1"]]
    assert (found.repeated, found.disturbed) == (1, 0)
    assert found.late_ms == [0, 1, 0, 1]  # of what counts


def test_it_is_measured_all_the_same_where_that_happens_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Disturbed([0.3] * 6)
    found = measured(monkeypatch, machine, repeats=3)
    assert machine.connections == [["round 0"]] * 3 + [["round 0", "round 1", "onset 0", "onset 1"]]
    assert len(found.rounds) == len(found.onsets) == 2
    assert (found.repeated, found.disturbed) == (3, 3)


# With Chromium


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Any:
    need_program("chromium", "Debian package chromium")
    file = tmp_path_factory.mktemp("heard") / "heard.json"
    assert main(["--quick", "--only", "Opus", "--json", str(file)]) == 0
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.timeout(300)  # the sound takes its time
def test_a_short_run_has_results(written: Any) -> None:
    figures = {each["figure"]: each["values"] for each in written["figures"]}
    assert set(figures) == {line.name for line in rows(QUICK)}
    for values in figures.values():
        assert all(math.isfinite(value) and value >= 0 for value in values if value is not None)
    for name in ("push to sound", "pause to silence", "interrupt to silence", "likeness of the first 20 ms"):
        assert any(value is not None and value > 0 for value in figures[name]), figures[name]
    [raw] = written["raw"]
    assert len(raw["rounds"]) == 2 * QUICK.rounds
    assert len(raw["onsets"]) == QUICK.rounds
    assert raw["stalls"][0]["blocked_seconds"] >= QUICK.stalls[0]
    assert raw["stalls"][0]["delays"]
