"""Trace files that somebody has changed: no field makes a replay endless or large, or reaches a terminal as it is."""

from __future__ import annotations

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playback import AudioFormat, PlaybackController
from playback.cli import main
from playback.tracing import Trace
from playback.tracing.fields import LONGEST_LINE
from playback.tracing.records import TraceError
from playback.tracing.replay import replay
from tests.fuzzing import thorough
from tests.signals import RATE, ramp

EVIL = "\x1b[2J\x1b]0;owned\x07\r\n\u202e\x9b31m"
"""What a terminal obeys: escape sequences, and text that runs backwards."""

NUMBERS = [0, 1, -1, 2**31, 2**53, 2**63, 10**15, 10**30, 10**400, 1e300, -1e300, 0.5, float("inf"), float("nan")]
VALUES: list[Any] = [None, True, "", "x" * 10_000, EVIL, [], {}, [[[]]], {"repr": EVIL}, [EVIL] * 3, {EVIL: EVIL}]

MOST_BYTES = 400_000_000
MOST_READS = 50_000
"""Reads of one mutated file that are carried out; 24 hours of them take a minute."""


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A call with some of everything."""
    controller = PlaybackController(AudioFormat(48_000), input_format=AudioFormat(RATE), history_seconds=1.0)
    trace = Trace(controller, limit=None)
    with pytest.raises(ValueError, match="expected"):
        controller.push(b"RIFF\0\0\0\0WAVEfmt ")
    for number in range(3):
        turn = controller.turn()
        utterance = turn.utterance(text="one two", first=number == 1)
        utterance.push(ramp(2_000))
        utterance.mark("one", 0.0)
        utterance.mark({"deep": [1, [2]]}, 0.01, 0.02)
        for _ in range(3):
            controller.read(960)
        controller.pause()
        controller.read(960)
        controller.resume(0.01)
        controller.gain_db = -6.0
        if number == 0:
            controller.interrupt(lock=True)
            utterance.push(ramp(7))
            controller.unlock()
        elif number == 1:
            utterance.fail(ValueError("broke"))
        else:
            utterance.end()
        turn.end()
        for _ in range(20):
            controller.read(960)
    controller.report_stall(0.5)
    controller.close()
    path = tmp_path_factory.mktemp("trace") / "call.jsonl"
    trace.save(path)
    return path.read_text(encoding="utf-8").splitlines()


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where everything in a line is."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [found for key, item in items for found in paths_of(item, (*path, key))]


def mutated(line: str, rng: random.Random) -> str:
    """A line with one thing changed."""
    parsed = json.loads(line)
    path = rng.choice(paths_of(parsed)[1:])
    target = parsed
    for key in path[:-1]:
        target = target[key]
    match rng.randrange(6):
        case 0 if isinstance(target, dict):
            del target[path[-1]]
        case 1 if isinstance(target, dict):
            target[rng.choice([EVIL, "times", "samples", "extra"])] = target.pop(path[-1])
        case 2 if isinstance(parsed, dict) and "call" in parsed:
            parsed["times"] = rng.choice(NUMBERS)
        case 3:
            target[path[-1]] = rng.choice(VALUES)
        case _:
            target[path[-1]] = rng.choice(NUMBERS)
    return json.dumps(parsed)


def check(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """See that a file is replayed, or refused, and that nothing happens beside."""
    tracemalloc.start()
    refused = None
    try:
        try:
            trace = Trace.load(path)
            if sum(call.times for call in trace.calls) < MOST_READS:
                str(trace.records)
                trace.differences(replay(trace))
                main(["replay", str(path)])
        except TraceError as error:
            refused = str(error)
        if refused is not None:
            assert refused.isprintable()
            with pytest.raises(SystemExit):
                main(["replay", str(path)])
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert text.replace("\n", "").isprintable(), text


@pytest.mark.fuzz
@pytest.mark.timeout(600)
@thorough(60)
@given(seed=st.integers(0, 2**32))
def test_no_change_to_a_file_hangs_or_fills_or_reaches_the_terminal(
    lines: list[str], seed: int, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(seed)
    changed = list(lines)
    for _ in range(rng.choice((1, 1, 1, 3))):
        number = rng.randrange(len(changed))
        if rng.random() < 0.1:
            raw = bytearray(changed[number].encode())
            raw[rng.randrange(len(raw))] = rng.randrange(256)
            changed[number] = raw.decode("latin-1")
        elif rng.random() < 0.1:
            changed.insert(number, changed[rng.randrange(len(changed))])
        else:
            try:
                changed[number] = mutated(changed[number], rng)
            except ValueError:
                continue  # this line is no JSON any more
    path = tmp_path_factory.getbasetemp() / "changed.jsonl"
    path.write_text("\n".join(changed) + "\n", encoding="utf-8")
    check(path, capsys)


def header(lines: list[str], **changes: Any) -> str:
    return json.dumps(json.loads(lines[0]) | changes)


@pytest.mark.parametrize(
    "changed",
    [
        {"trace": EVIL},
        {"fades": {EVIL: 1}},
        {"format": {"sample_rate": 8_000, "channels": EVIL, "encoding": EVIL}},
        {"limits": {EVIL: 1}},
        {"fades": {"pause_seconds": 10**400}},
    ],
)
def test_no_name_in_a_header_is_printed_as_it_is(lines: list[str], changed: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    path.write_text(header(lines, **changed))
    with pytest.raises(TraceError) as caught:
        Trace.load(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "line",
    [
        {"edge": EVIL, "position": 0, "source": "idle", "target": "idle", "outputs": []},
        {"edge": "push", "position": 0, "source": EVIL, "target": "idle", "outputs": []},
        {"edge": "push", "position": 0, "source": "idle", "target": "idle", "outputs": [EVIL]},
        {"event": "paused", "position": 0, EVIL: 1},
        {"event": EVIL, "position": 0},
        {"event": "utterance_finished", "position": 0, "utterance": 1, "report": 0.5},
        {"event": "turn_finished", "position": 0, "turn": 1, "report": {"utterances": [EVIL]}},
        {"call": EVIL, "position": 0},
        {"call": "gain", "position": 0, "gain_db": {"repr": EVIL}},
        {"call": "read", "position": 0, "samples": 10**12},
        {"call": "read", "position": 10**30, "samples": 1},
        {"call": "resume", "position": 0, "rewind": 10**30},
    ],
)
def test_what_a_record_can_not_hold(lines: list[str], line: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    path.write_text(f"{lines[0]}\n{json.dumps(line)}\n")
    with pytest.raises(TraceError, match=r"line 2: .*expected") as caught:
        Trace.load(path)
    assert str(caught.value).isprintable()


def test_deep_json_is_refused(lines: list[str], tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    for depth in (17, 500, 100_000):
        payload = "[" * depth + "]" * depth
        mark = f'{{"call": "mark", "position": 0, "utterance": 1, "at": 0, "until": null, "payload": {payload}}}'
        path.write_text(f"{lines[0]}\n{mark}\n")
        with pytest.raises(TraceError, match="line 2"):
            Trace.load(path)


def test_a_line_without_an_end_is_refused_before_it_is_read(lines: list[str], tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    for first in ("", f"{lines[0]}\n"):
        path.write_text(first + '{"call": "' + "x" * 20 * LONGEST_LINE)
        tracemalloc.start()
        with pytest.raises(TraceError, match="expected at most 1,000,000 characters"):
            Trace.load(path)
        assert tracemalloc.get_traced_memory()[1] < 5 * LONGEST_LINE
        tracemalloc.stop()


def test_silence_of_any_length_takes_no_memory(lines: list[str], tmp_path: Path) -> None:
    limits = json.loads(lines[0])["limits"] | {"maximum": 10**10, "high_water": 10**10}
    made = (
        '{"call": "utterance", "position": 0, "utterance": 1, "id": "a", "text": null, "interruptible": true,'
        ' "stale": false, "first": false, "in_turn": null, "format": {"sample_rate": 8000, "channels": 1}}'
    )
    for layout in ([48_000, "mono", "s16", 2], [24_000, "stereo", "flt", 8], [8_000, "5.1", "fltp", 24]):
        push = {"call": "push", "position": 0, "utterance": 1, "layout": layout, "samples": 10**9}
        push |= {"partial": 0, "dropped": 0, "bounded": True}
        path = tmp_path / "call.jsonl"
        read = '{"call": "read", "position": 0, "samples": 960, "times": 50}'
        path.write_text("\n".join([header(lines, limits=limits), made, json.dumps(push), read]))
        tracemalloc.start()
        replay(Trace.load(path))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
        tracemalloc.stop()
