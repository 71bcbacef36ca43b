"""Payloads of synthesizers: the words and times that their messages carry.

A parser for each vendor, all with the same two methods. They have no state but the word that is still open, do no I/O,
and need none of the vendors' packages: a payload is a message as it comes from the socket (JSON as text or bytes), as a
dict, or as the object of the vendor's own package.

Times count from what the vendor says. Where that is the audio of the payload, and not the whole stream, pass what was
accepted before it::

    parser = ElevenLabs()
    async for message in socket:
        utterance.mark_words(parser.feed(message, utterance.accepted_seconds))
        utterance.push(audio_of(message))
    utterance.mark_words(parser.flush())
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from numbers import Real
from typing import Any, Final, Protocol

from playback._checks import check_seconds, check_type
from playback.words.characters import CharacterJoiner
from playback.words.word import Word


class WordParser(Protocol):
    """Finds the words in the payloads of one synthesis."""

    def feed(self, payload: Any, offset_seconds: float = 0.0) -> list[Word]:
        """The words that are complete with this payload; none for one that has no times.

        Args:
            payload: JSON as text or bytes, a dict, or an object of the vendor's package.
            offset_seconds: what its times count from, in seconds from the utterance's start.

        Raises:
            ValueError: text that is no JSON, lists of different lengths, or a time that is negative or no number.
        """

    def flush(self) -> list[Word]:
        """The word that is still open; at the end of the stream."""


class _Words:
    """A parser of payloads whose words are whole."""

    def feed(self, payload: Any, offset_seconds: float = 0.0) -> list[Word]:
        """See :meth:`WordParser.feed`."""
        check_seconds("offset_seconds", offset_seconds)
        return [_shifted(word, offset_seconds) for word in self._words(_decoded(payload)) if word.text]

    def flush(self) -> list[Word]:
        """See :meth:`WordParser.flush`: none, for words are whole."""
        return []

    def _words(self, payload: Any) -> list[Word]:
        raise NotImplementedError


class Cartesia(_Words):
    """Cartesia, ``add_timestamps``: messages of the type ``timestamps``; times count from the context's start.

    https://docs.cartesia.ai/api-reference/tts/websocket
    """

    def _words(self, payload: Any) -> list[Word]:
        return _of_lists(_get(payload, "word_timestamps"), "words", "start", "end")


class Rime(Cartesia):
    """Rime, ``/ws2`` and ``/ws3``: messages of the type ``timestamps``, as Cartesia's; times from the stream's start.

    https://docs.rime.ai/api-reference/websockets-json
    """


class Azure(_Words):
    """Azure Speech: the events of ``synthesis_word_boundary``; times count from the stream's start.

    Punctuation has events of its own, and is a word of its own here; where words are joined, it joins its neighbour.
    Offsets are in ticks of 100 ns, and so are durations that are no ``timedelta``. Sentence boundaries are no words.

    https://learn.microsoft.com/azure/ai-services/speech-service/how-to-speech-synthesis#subscribe-to-synthesizer-events
    """

    _TICK: Final = 1e-7

    def _words(self, payload: Any) -> list[Word]:
        text, offset = _get(payload, "text"), _get(payload, "audio_offset", "audioOffset")
        if text is None or offset is None or "sentence" in _name(_get(payload, "boundary_type", "boundaryType")):
            return []
        duration = _get(payload, "duration")
        seconds = duration.total_seconds() if isinstance(duration, timedelta) else None
        if duration is not None and seconds is None:
            seconds = _seconds("duration", duration) * self._TICK
        start = _seconds("audio_offset", offset) * self._TICK
        return [_word(text, start, None if seconds is None else start + seconds)]


class Google(_Words):
    """Google Cloud, ``enable_time_pointing``: a time for each ``<mark name="…"/>``; times count from the audio's start.

    https://cloud.google.com/text-to-speech/docs/reference/rest/v1beta1/text/synthesize#Timepoint

    Args:
        words: the word behind each mark, by the mark's name; defaults to the names themselves. Marks without a word are
            no words.
    """

    def __init__(self, words: Mapping[str, str] | None = None) -> None:
        check_type("words", words, Mapping, None)
        self._named: Final = words

    def _words(self, payload: Any) -> list[Word]:
        words = []
        for point in _get(payload, "timepoints") or ():
            name, seconds = _get(point, "mark_name", "markName"), _get(point, "time_seconds", "timeSeconds")
            text = name if self._named is None else self._named.get(name)
            if text is not None:
                words.append(_word(text, _seconds("timeSeconds", seconds or 0.0), None))  # JSON leaves out a zero
        return words


class Hume(_Words):
    """Hume's Octave 2, ``include_timestamp_types`` with ``word``; times, in ms, count from the audio of their snippet.

    Times of phonemes are no words.

    https://dev.hume.ai/docs/text-to-speech-tts/timestamps
    """

    def _words(self, payload: Any) -> list[Word]:
        stamp = _get(payload, "timestamp")
        if _get(stamp, "type") != "word":
            return []
        times = _get(stamp, "time")
        start, end = (_seconds(name, _get(times, name)) / 1_000 for name in ("begin", "end"))
        return [_word(_get(stamp, "text"), start, end)]


class LMNT(_Words):
    """LMNT, ``return_timestamps`` or ``return_extras``: times from the start of the audio, with spaces as words.

    https://docs.lmnt.com/build-with-lmnt/word-timestamps
    """

    def _words(self, payload: Any) -> list[Word]:
        words = []
        for item in _get(payload, "timestamps", "durations") or ():
            start = _seconds("start", _get(item, "start"))
            words.append(_word(_get(item, "text"), start, start + _seconds("duration", _get(item, "duration"))))
        return words


class Speechify(_Words):
    """Speechify: the speech marks of a response; times, in ms, count from the start of its audio.

    https://docs.sws.speechify.com/docs/features/speech-marks
    """

    def _words(self, payload: Any) -> list[Word]:
        marks = _get(payload, "speech_marks", "speechMarks")
        return [
            _word(
                _get(chunk, "value"),
                _seconds("start_time", _get(chunk, "start_time", "startTime")) / 1_000,
                _seconds("end_time", _get(chunk, "end_time", "endTime")) / 1_000,
            )
            for chunk in _get(marks, "chunks") or ()
        ]


class Inworld:
    """Inworld, ``timestampType`` WORD or CHARACTER; times count from the audio of the chunk.

    https://docs.inworld.ai/tts/capabilities/timestamps
    """

    def __init__(self) -> None:
        self._characters: Final = CharacterJoiner()

    def feed(self, payload: Any, offset_seconds: float = 0.0) -> list[Word]:
        """See :meth:`WordParser.feed`."""
        check_seconds("offset_seconds", offset_seconds)
        fields = _decoded(payload)
        fields = _get(fields, "result") or fields
        times = _get(fields, "timestampInfo", "timestamp_info")
        words = _get(times, "wordAlignment", "word_alignment")
        found = _of_lists(
            words,
            "words",
            ("wordStartTimeSeconds", "word_start_time_seconds"),
            ("wordEndTimeSeconds", "word_end_time_seconds"),
        )
        characters = _get(times, "characterAlignment", "character_alignment")
        lists = _lists(
            characters,
            "characters",
            ("characterStartTimeSeconds", "character_start_time_seconds"),
            ("characterEndTimeSeconds", "character_end_time_seconds"),
        )
        joined = self._characters.add(*_shifted_lists(lists, offset_seconds))
        return [_shifted(word, offset_seconds) for word in found if word.text] + joined

    def flush(self) -> list[Word]:
        """See :meth:`WordParser.flush`."""
        return self._characters.flush()


class ElevenLabs:
    """ElevenLabs: the alignment of characters of its WebSocket and of its HTTP endpoints ``with-timestamps``.

    The WebSocket's times count from the audio of their message, those of HTTP from the stream's start. The alignment of
    the text as it was sent is used; the one of the normalized text only where there is no other.

    https://elevenlabs.io/docs/api-reference/text-to-speech/v-1-text-to-speech-voice-id-stream-input
    https://elevenlabs.io/docs/api-reference/text-to-speech/stream-with-timestamps
    """

    def __init__(self) -> None:
        self._characters: Final = CharacterJoiner()

    def feed(self, payload: Any, offset_seconds: float = 0.0) -> list[Word]:
        """See :meth:`WordParser.feed`."""
        check_seconds("offset_seconds", offset_seconds)
        fields = _decoded(payload)
        alignment = _get(fields, "alignment") or _get(fields, "normalizedAlignment", "normalized_alignment")
        if _get(alignment, "characters") is not None:
            lists = _lists(alignment, "characters", "character_start_times_seconds", "character_end_times_seconds")
        else:
            characters, starts, durations = _lists(
                alignment,
                "chars",
                ("charStartTimesMs", "char_start_times_ms"),
                ("charDurationsMs", "charsDurationsMs", "char_durations_ms", "chars_durations_ms"),
            )
            ends = [start + duration for start, duration in zip(starts, durations, strict=True)]
            lists = characters, [start / 1_000 for start in starts], [end / 1_000 for end in ends]
        words = self._characters.add(*_shifted_lists(lists, offset_seconds))
        return words + self.flush() if _get(fields, "isFinal", "is_final") else words

    def flush(self) -> list[Word]:
        """See :meth:`WordParser.flush`."""
        return self._characters.flush()


class Polly:
    """Amazon Polly: speech marks, a line of JSON each, in pieces of any size; times count from the audio's start.

    https://docs.aws.amazon.com/polly/latest/dg/output.html
    """

    def __init__(self) -> None:
        self._line = b""
        self._offset = 0.0

    def feed(self, payload: Any, offset_seconds: float = 0.0) -> list[Word]:
        """See :meth:`WordParser.feed`; an incomplete line is kept until its rest comes."""
        check_seconds("offset_seconds", offset_seconds)
        self._offset = offset_seconds
        if not isinstance(payload, (str, bytes, bytearray)):
            return self._words([payload])
        data = payload.encode() if isinstance(payload, str) else bytes(payload)
        *lines, self._line = (self._line + data).split(b"\n")
        if self._line.rstrip().endswith(b"}"):  # a single mark comes without the end of a line
            lines, self._line = [*lines, self._line], b""
        return self._words(lines)

    def flush(self) -> list[Word]:
        """See :meth:`WordParser.flush`."""
        line, self._line = self._line, b""
        return self._words([line])

    def _words(self, lines: Sequence[Any]) -> list[Word]:
        marks = [_decoded(line) for line in lines if not isinstance(line, bytes) or line.strip()]
        words = [
            _word(_get(mark, "value"), _seconds("time", _get(mark, "time")) / 1_000, None)
            for mark in marks
            if _get(mark, "type") == "word"
        ]
        return [_shifted(word, self._offset) for word in words if word.text]


def _decoded(payload: Any) -> Any:
    """What a payload has, if it is text."""
    if not isinstance(payload, (str, bytes, bytearray)):
        return payload
    try:
        return json.loads(payload)
    except ValueError as error:
        raise ValueError(f"the payload is {payload[:100]!r}, expected JSON: {error}") from None


def _get(payload: Any, *names: str) -> Any:
    """A field of a dict or an object, by whatever name it has; None if it has none."""
    for name in names:
        value = payload.get(name) if isinstance(payload, Mapping) else getattr(payload, name, None)
        if value is not None:
            return value
    return None


def _name(value: Any) -> str:
    """The name of an enumeration's member, or a text, in lower case."""
    return str(getattr(value, "name", value)).lower()


def _seconds(name: str, value: Any) -> float:
    """A time, in whatever unit."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) < float("inf"):
        raise ValueError(f"{name} is {value!r}, expected a finite number, 0 or more")
    return float(value)


def _word(text: Any, start: float, end: float | None) -> Word:
    check_type("the word", text, str)
    return Word(text.strip(), start, None if end is None else max(start, end))


def _shifted(word: Word, offset: float) -> Word:
    return Word(word.text, word.start + offset, None if word.end is None else word.end + offset)


_Name = str | tuple[str, ...]
_Lists = tuple[list[str], list[float], list[float]]


def _lists(payload: Any, texts: str, starts: _Name, ends: _Name) -> _Lists:
    """Three lists that belong together; empty if there is no payload.

    Raises:
        ValueError: they are not of one length, or a time is none.
    """
    if payload is None:
        return [], [], []
    names = [(name,) if isinstance(name, str) else name for name in (texts, starts, ends)]
    words, first, last = (list(_get(payload, *name) or ()) for name in names)
    if not len(words) == len(first) == len(last):
        raise ValueError(f"{texts} has {len(words)} items, {len(first)} starts and {len(last)} ends, expected as many")
    for word in words:
        check_type(texts, word, str)
    return words, [_seconds(names[1][0], time) for time in first], [_seconds(names[2][0], time) for time in last]


def _of_lists(payload: Any, texts: str, starts: _Name, ends: _Name) -> list[Word]:
    return [_word(*item) for item in zip(*_lists(payload, texts, starts, ends), strict=True)]


def _shifted_lists(lists: _Lists, offset: float) -> _Lists:
    texts, starts, ends = lists
    return texts, [start + offset for start in starts], [end + offset for end in ends]
