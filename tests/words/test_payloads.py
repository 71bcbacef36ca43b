"""Parsers of word times, each with payloads in the shape that its vendor documents."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playback import AudioFormat, PlaybackController
from playback.words import (
    LMNT,
    Azure,
    Cartesia,
    ElevenLabs,
    Google,
    Hume,
    Inworld,
    Polly,
    Rime,
    Speechify,
    Word,
    WordParser,
)
from playback.words.heard import heard_words

Payload = Any

HELLO: Final = [Word("Hello,", 0.0, 0.5), Word("world!", 0.5, 1.0)]


def fed(parser: WordParser, *payloads: Payload, offset: float = 0.0) -> list[Word]:
    """All words of some payloads, to the microsecond."""
    words = [word for payload in payloads for word in parser.feed(payload, offset)] + parser.flush()
    return [Word(text, round(start, 6), None if end is None else round(end, 6)) for text, start, end in words]


def socket_alignment(text: str, step_ms: int = 100, start_ms: int = 0) -> dict[str, Any]:
    """The alignment of ElevenLabs' WebSocket."""
    return {
        "chars": list(text),
        "charStartTimesMs": [start_ms + step_ms * at for at in range(len(text))],
        "charDurationsMs": [step_ms] * len(text),
    }


def http_alignment(text: str, step: float = 0.1, start: float = 0.0) -> dict[str, Any]:
    """The alignment of ElevenLabs' HTTP endpoints."""
    return {
        "characters": list(text),
        "character_start_times_seconds": [start + step * at for at in range(len(text))],
        "character_end_times_seconds": [start + step * (at + 1) for at in range(len(text))],
    }


def as_objects(payload: Payload) -> Payload:
    """The same as the object of a package."""
    if isinstance(payload, dict):
        return SimpleNamespace(**{name: as_objects(value) for name, value in payload.items()})
    if isinstance(payload, list):
        return [as_objects(item) for item in payload]
    return payload


class Boundary(Enum):
    """As `SpeechSynthesisBoundaryType` of Azure's package."""

    Word = 0
    Punctuation = 1
    Sentence = 2


def boundary(text: str, start: float, seconds: float, kind: Boundary = Boundary.Word) -> Payload:
    """As `SpeechSynthesisWordBoundaryEventArgs` of Azure's package."""
    return SimpleNamespace(
        audio_offset=round(start * 1e7),
        duration=timedelta(seconds=seconds),
        text=text,
        boundary_type=kind,
        text_offset=0,
    )


CARTESIA: Final = [
    {"type": "chunk", "data": "aSDinaTvuI8gbWludGxpZnk=", "done": False, "status_code": 206, "step_time": 123},
    {
        "type": "timestamps",
        "done": False,
        "status_code": 206,
        "context_id": "872ec12d",
        "word_timestamps": {"words": ["Hello,", "world!"], "start": [0, 0.5], "end": [0.5, 1.0]},
    },
    {"type": "phoneme_timestamps", "phoneme_timestamps": {"phonemes": ["h"], "start": [0.1], "end": [0.2]}},
    {"type": "done", "done": True, "status_code": 206},
]
INWORLD: Final = {
    "result": {
        "audioContent": "UklGRiRQAQBXQVZFZm1",
        "timestampInfo": {
            "wordAlignment": {
                "words": ["Hello,", " ", "world!"],
                "wordStartTimeSeconds": [0, 0.5, 0.5],
                "wordEndTimeSeconds": [0.5, 0.5, 1.0],
                "phoneticDetails": [],
            }
        },
    }
}
INWORLD_CHARACTERS: Final = {
    "timestampInfo": {
        "characterAlignment": {
            "characters": list("Hi you"),
            "characterStartTimeSeconds": [0.1 * at for at in range(6)],
            "characterEndTimeSeconds": [0.1 * (at + 1) for at in range(6)],
        }
    }
}
POLLY: Final = (
    '{"time":0,"type":"sentence","start":0,"end":23,"value":"Mary had a little lamb."}\n'
    '{"time":6,"type":"word","start":0,"end":4,"value":"Mary"}\n'
    '{"time":6,"type":"viseme","value":"p"}\n'
    '{"time":373,"type":"word","start":5,"end":8,"value":"had"}\n'
    '{"time":500,"type":"ssml","start":9,"end":10,"value":"here"}\n'
    '{"time":604,"type":"word","start":9,"end":10,"value":"ä"}\n'
)
MARY: Final = [Word("Mary", 0.006, None), Word("had", 0.373, None), Word("ä", 0.604, None)]

CASES: Final[dict[str, tuple[type[WordParser], list[Payload], list[Word]]]] = {
    "Cartesia": (Cartesia, CARTESIA, HELLO),
    "Rime": (Rime, CARTESIA[:2], HELLO),
    "Inworld words": (Inworld, [INWORLD], HELLO),
    "Inworld characters": (Inworld, [INWORLD_CHARACTERS], [Word("Hi", 0.0, 0.2), Word("you", 0.3, 0.6)]),
    "ElevenLabs WebSocket": (
        ElevenLabs,
        [
            {"audio": "UklG", "isFinal": None, "normalizedAlignment": None, "alignment": socket_alignment("Hi you ")},
            {"audio": "UklG", "alignment": None, "normalizedAlignment": None},
            {"audio": None, "isFinal": True, "alignment": None},
        ],
        [Word("Hi", 0.0, 0.2), Word("you", 0.3, 0.6)],
    ),
    "ElevenLabs HTTP": (
        ElevenLabs,
        [
            {
                "audio_base64": "UklG",
                "alignment": http_alignment("Hi you"),
                "normalized_alignment": http_alignment("Hi yu"),
            }
        ],
        [Word("Hi", 0.0, 0.2), Word("you", 0.3, 0.6)],
    ),
    "ElevenLabs normalized": (
        ElevenLabs,
        [{"alignment": None, "normalizedAlignment": socket_alignment("Hi you")}],
        [Word("Hi", 0.0, 0.2), Word("you", 0.3, 0.6)],
    ),
    "Google": (
        Google,
        [
            {"audioContent": "UklG"},
            {"timepoints": [{"markName": "Hello"}, {"markName": "world", "timeSeconds": 0.5}]},
        ],
        [Word("Hello", 0.0, None), Word("world", 0.5, None)],
    ),
    "Azure": (
        Azure,
        [
            boundary("Hello, world!", 0.0, 1.0, Boundary.Sentence),
            boundary("Hello", 0.05, 0.4),
            boundary(",", 0.45, 0.05, Boundary.Punctuation),
            boundary("world", 0.5, 0.5),
        ],
        [Word("Hello", 0.05, 0.45), Word(",", 0.45, 0.5), Word("world", 0.5, 1.0)],
    ),
    "Azure in JavaScript's names": (
        Azure,
        [{"audioOffset": 500_000, "duration": 4_000_000, "text": "Hello", "boundaryType": "WordBoundary"}],
        [Word("Hello", 0.05, 0.45)],
    ),
    "Polly": (Polly, [POLLY], MARY),
    "Polly, one by one": (Polly, [json.loads(line) for line in POLLY.splitlines()], MARY),
    "Polly, a line at a time": (Polly, POLLY.splitlines(), MARY),
}


@pytest.mark.parametrize("case", CASES)
def test_the_words_of_each_vendor(case: str) -> None:
    parser, payloads, words = CASES[case]
    assert fed(parser(), *payloads) == words


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith(("Azure", "Polly"))])
@pytest.mark.parametrize("kind", ["text", "bytes", "objects"])
def test_payloads_come_as_text_as_bytes_and_as_objects(case: str, kind: str) -> None:
    parser, payloads, words = CASES[case]
    kinds: dict[str, Callable[[Payload], Payload]] = {
        "text": json.dumps,
        "bytes": lambda payload: json.dumps(payload).encode(),
        "objects": as_objects,
    }
    assert fed(parser(), *map(kinds[kind], payloads)) == words


@pytest.mark.parametrize("case", CASES)
def test_times_may_count_from_a_chunk(case: str) -> None:
    parser, payloads, words = CASES[case]
    shifted = [Word(text, start + 2.5, None if end is None else end + 2.5) for text, start, end in words]
    assert fed(parser(), *payloads, offset=2.5) == [
        Word(text, round(start, 6), None if end is None else round(end, 6)) for text, start, end in shifted
    ]


@pytest.mark.parametrize("case", CASES)
def test_a_payload_without_times_has_no_words(case: str) -> None:
    parser = CASES[case][0]()
    for payload in ({}, {"type": "done"}, "{}", b'{"audio": "UklG"}', SimpleNamespace(), None):
        assert parser.feed(payload) == []
    assert parser.flush() == []


@pytest.mark.parametrize(
    ("parser", "payload", "message"),
    [
        (Cartesia(), "not JSON", "expected JSON"),
        (Polly(), "not JSON\n", "expected JSON"),
        (
            Cartesia(),
            {"word_timestamps": {"words": ["a", "b"], "start": [0], "end": [1]}},
            "2 items, 1 starts and 1 ends",
        ),
        (Cartesia(), {"word_timestamps": {"words": ["a"], "start": [float("nan")], "end": [1]}}, "start is nan"),
        (ElevenLabs(), {"alignment": {"chars": ["a"], "charStartTimesMs": [0], "charDurationsMs": []}}, "0 ends"),
        (ElevenLabs(), {"alignment": socket_alignment("a", start_ms=-1)}, "charStartTimesMs is -1"),
        (Azure(), {"text": "a", "audio_offset": "soon"}, "audio_offset is 'soon'"),
        (Google(), {"timepoints": [{"markName": "a", "timeSeconds": -1.0}]}, "timeSeconds is -1.0"),
        (Polly(), {"type": "word", "value": "a"}, "time is None"),
    ],
)
def test_what_can_not_be_is_an_error_that_names_it(parser: WordParser, payload: Payload, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parser.feed(payload)
    with pytest.raises(ValueError, match="offset_seconds is -1"):
        parser.feed({}, -1)


def test_google_may_name_its_marks() -> None:
    payload = {"timepoints": [{"markName": "w0", "timeSeconds": 0.1}, {"markName": "pause", "timeSeconds": 0.2}]}
    assert fed(Google({"w0": "Hello"}), payload) == [Word("Hello", 0.1, None)]


TEXT: Final = "Hello big world, 你好。 नमस्ते दुनिया"


@given(st.lists(st.integers(0, len(TEXT)), max_size=5))
def test_a_word_may_run_across_payloads(cuts: list[int]) -> None:
    whole = fed(ElevenLabs(), {"alignment": http_alignment(TEXT)})
    bounds = [0, *sorted(cuts), len(TEXT)]
    payloads = [{"alignment": http_alignment(TEXT[first:last], start=0.1 * first)} for first, last in pairwise(bounds)]
    assert fed(ElevenLabs(), *payloads) == whole
    assert [word.text for word in whole] == ["Hello", "big", "world,", "你", "好。", "नमस्ते", "दुनिया"]


@given(st.integers(1, 15), st.integers(0, 15))
def test_characters_that_are_sent_again_count_once(cut: int, back: int) -> None:
    """Synthesis may begin anew some characters before where it had stopped, at times that have moved a little."""
    text = TEXT[:16]
    again = max(0, cut - back)
    first = {"alignment": http_alignment(text[:cut])}
    second = {"alignment": http_alignment(text[again:], start=0.1 * again - 0.001 * (again > 0))}
    assert [word.text for word in fed(ElevenLabs(), first, second)] == text.split()


@given(st.lists(st.integers(0, len(POLLY.encode())), max_size=6), st.booleans())
def test_speech_marks_come_in_pieces_of_any_size(cuts: list[int], as_text: bool) -> None:
    data: Any = POLLY if as_text else POLLY.encode()
    bounds = [0, *sorted(cuts), len(data)]
    assert fed(Polly(), *(data[first:last] for first, last in pairwise(bounds))) == MARY


@pytest.mark.parametrize("cut", range(1, 7))
def test_from_the_message_to_what_was_heard(cut: int) -> None:
    """The way that the documentation shows: times that count from each message's audio."""
    controller, parser, text = PlaybackController(AudioFormat(8_000)), ElevenLabs(), "See you on Monday at noon"
    utterance = controller.utterance(text=text)
    for piece in (text[:10], text[10:17], text[17:]):
        utterance.mark_words(parser.feed({"alignment": socket_alignment(piece)}, utterance.accepted_seconds))
        utterance.push(np.full(800 * len(piece), 9, np.int16))
    utterance.mark_words(parser.flush())
    words = text.split()
    controller.read(800 * len(" ".join(words[:cut])))
    controller.interrupt()
    assert utterance.report is not None
    assert utterance.report.heard == heard_words(words, cut)


@pytest.mark.parametrize("form", [json.dumps, as_objects, dict])
def test_hume(form: Callable[[Payload], Payload]) -> None:
    def stamp(kind: str, text: str, begin: int, end: int) -> Payload:
        inner = {"type": kind, "text": text, "time": {"begin": begin, "end": end}}
        return form({"type": "timestamp", "request_id": "r", "snippet_id": "s", "timestamp": inner})

    audio = form({"type": "audio", "audio": "UklGRg==", "chunk_index": 0})
    words = [stamp("word", "Hello,", 0, 500), stamp("word", "world!", 500, 1_000)]
    payloads = [audio, stamp("phoneme", "h", 0, 80), *words]
    assert fed(Hume(), *payloads) == HELLO
    assert fed(Hume(), words[0], offset=2.0) == [Word("Hello,", 2.0, 2.5)]


@pytest.mark.parametrize("form", [json.dumps, as_objects, dict])
@pytest.mark.parametrize("name", ["timestamps", "durations"])
def test_lmnt(form: Callable[[Payload], Payload], name: str) -> None:
    items = [("", 0.0, 0.0), ("Hello,", 0.0, 0.5), (" ", 0.5, 0.0), ("world!", 0.5, 0.5), ("", 1.0, 0.1)]
    listed = [{"text": text, "start": start, "duration": duration} for text, start, duration in items]
    assert fed(LMNT(), form({"audio": "UklGRg==", name: listed})) == HELLO
    assert fed(LMNT(), form({"audio": "UklGRg=="})) == []


@pytest.mark.parametrize("form", [json.dumps, as_objects, dict])
def test_speechify(form: Callable[[Payload], Payload]) -> None:
    def chunk(value: str, start_time: int, end_time: int) -> Payload:
        return {"type": "word", "value": value, "start_time": start_time, "end_time": end_time, "start": 0, "end": 5}

    marks = {"type": "sentence", "value": "Hello, world!", "start_time": 0, "end_time": 1_000}
    marks["chunks"] = [chunk("Hello,", 0, 500), chunk("world!", 500, 1_000)]
    assert fed(Speechify(), form({"audio_data": "UklGRg==", "speech_marks": marks})) == HELLO
    assert fed(Speechify(), form({"audio_data": "UklGRg=="})) == []


@pytest.mark.parametrize(
    ("parser", "payload"),
    [
        (Hume(), {"timestamp": {"type": "word", "text": "a", "time": {"begin": -1, "end": 2}}}),
        (Hume(), {"timestamp": {"type": "word", "text": "a"}}),
        (LMNT(), {"timestamps": [{"text": "a", "start": "0", "duration": 1}]}),
        (LMNT(), {"timestamps": [{"text": "a", "start": 0}]}),
        (Speechify(), {"speech_marks": {"chunks": [{"value": "a", "start_time": float("nan"), "end_time": 1}]}}),
    ],
)
def test_a_time_that_is_none_is_an_error(parser: WordParser, payload: Payload) -> None:
    with pytest.raises(ValueError, match="expected a finite number, 0 or more"):
        parser.feed(payload)
