"""Real speech for the demo and the tests: eSpeak NG, with the time of every word. Needs the extra ``demo``."""

from __future__ import annotations

import asyncio
import ctypes
import math
import re
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, Final

from playback.audio.formats import AudioFormat
from playback.controller import PlaybackController
from playback.espeak import CHARS_UTF8, LOCK, engine, harmless, set_voice
from playback.espeak import SpeechError as SpeechError
from playback.utterance import Utterance
from playback.words.word import Word

VOICE: Final = "en"

# Constants of espeak-ng/speak_lib.h.
_POS_CHARACTER: Final = 1
_PHONEMES: Final = 0x100
_EVENT_LIST_TERMINATED: Final = 0
_EVENT_WORD: Final = 1

_WORD: Final = re.compile(r"\w+(?:['’.,:-]\w+)*")

_THREAD: Final = ThreadPoolExecutor(1, "espeak")  # more would only wait: the engine makes one text at a time


class NothingToSay(SpeechError):  # noqa: N818 - it is not a fault
    """Nothing in a text has a sound, such as in ``?``, ``- - -`` or a zero-width space."""

    def __init__(self, text: str) -> None:
        super().__init__(f"there is nothing to say in {text!r}")


class _Event(ctypes.Structure):
    """espeak_EVENT."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def synthesize(
    text: str,
    on_audio: Callable[[bytes], bool],
    on_word: Callable[[str, float], object],
    *,
    voice: str = VOICE,
    phonemes: bool = False,
) -> None:
    """Speak a text, many times faster than real time; one call at a time, others wait for it.

    No two calls give the very same samples: eSpeak's voice wavers a little.

    Any string is a text. Control characters are spaces, half of a surrogate pair is a question mark, and a long
    abbreviation is said letter by letter: the engine would take them for commands, or crash.

    Args:
        text: what to say.
        on_audio: called with each chunk as it is made, in :func:`speech_format`; returns whether to go on. It must not
            synthesize itself.
        on_word: called for each word, before the chunk in which it starts, with the word as it stands in the text and
            its start in seconds.
        voice: a language or voice of eSpeak's, such as ``en-us`` or ``de``.
        phonemes: whether ``[[`` and ``]]`` enclose eSpeak's names of phonemes, for what has no spelling.

    Raises:
        SpeechError: eSpeak NG is missing or broken, or has no such voice.
        Exception: whatever a callback raises.
    """
    raised: list[BaseException] = []

    def take(audio: Any, samples: int, events: Any) -> int:
        # An exception that leaves a callback is printed and forgotten, and eSpeak would go on.
        try:
            words.take(events)
            return 0 if not samples or on_audio(ctypes.string_at(audio, 2 * samples)) else 1
        except BaseException as error:
            raised.append(error)
            return 1

    data = harmless(text).encode()
    callback = _Callback(take)
    library, sample_rate = engine()
    words = _Words(text, sample_rate, on_word)
    with LOCK:
        set_voice(voice)
        library.espeak_SetSynthCallback(callback)
        size, flags = ctypes.c_size_t(len(data) + 1), CHARS_UTF8 | (_PHONEMES if phonemes else 0)
        status = library.espeak_Synth(data, size, 0, _POS_CHARACTER, 0, flags, None, None)
    if raised:
        raise raised[0]
    if status:
        raise SpeechError(f"eSpeak NG could not speak: error {status}")


async def stream(
    text: str, *, voice: str = VOICE, limit_seconds: float = math.inf
) -> AsyncGenerator[bytes | Word, None]:
    """Make a text into audio and words, for :meth:`PlaybackController.speak`.

    The first piece is empty: its write waits for room, so nothing is made for an utterance that waits for its turn.
    From then on a thread makes all of the text, and the pieces are kept until they are asked for: the engine is there
    for all of the process, and must not wait for what plays. Closing the generator stops the thread at the next chunk.

    Args:
        text: what to say.
        voice: as for :func:`synthesize`.
        limit_seconds: how much of it is made.

    Yields:
        Each chunk as it is made, in :func:`speech_format`, and each word before the chunk in which it starts. Where
        nothing has a sound, nothing.

    Raises:
        NothingToSay: nothing in the text has a sound.
        SpeechError: eSpeak NG is missing or broken, or has no such voice.
    """
    yield b""
    left = limit_seconds * speech_format().sample_rate
    loop = asyncio.get_running_loop()
    made: asyncio.Queue[bytes | Word | Exception | None] = asyncio.Queue()
    stopped = Event()
    sounds = False
    silent: list[bytes | Word] = []  # what was made before the first sound

    def send(piece: bytes | Word | Exception | None) -> None:
        loop.call_soon_threadsafe(made.put_nowait, piece)

    def give(piece: bytes | Word) -> None:
        if sounds:
            send(piece)
        else:
            silent.append(piece)

    def take(audio: bytes) -> bool:
        nonlocal left, sounds
        if not sounds and any(audio):
            sounds = True
            for piece in silent:
                send(piece)
        left -= len(audio) // 2
        give(audio)
        return left > 0 and not stopped.is_set()

    def make() -> None:
        try:
            synthesize(text, take, lambda word, at: give(Word(word, at)), voice=voice)
            if not sounds and not stopped.is_set():
                raise NothingToSay(text)
        except Exception as error:
            send(error)  # somebody waits for it
        else:
            send(None)

    making = _THREAD.submit(make)
    try:
        while (piece := await made.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece
    finally:
        stopped.set()
        making.cancel()


def speak(controller: PlaybackController, text: str, *, voice: str = VOICE, interruptible: bool = True) -> Utterance:
    """Say a text: a thread makes it, and every word is marked.

    Args:
        controller: what plays it.
        text: what to say.
        voice: as for :func:`synthesize`.
        interruptible: as for :meth:`PlaybackController.utterance`.

    Returns:
        The utterance, which is enqueued. What can't be said fails it with the :class:`SpeechError`, a text without a
        sound with :class:`NothingToSay`, and nothing is played. Synthesis stops early when the utterance has ended.

    Raises:
        SpeechError: eSpeak NG is missing or broken.
        RuntimeError: no event loop runs.
    """
    # No limit to how long it may send nothing: the engine may be making other texts.
    return controller.speak(
        stream(text, voice=voice),
        text=text,
        format=speech_format(),
        interruptible=interruptible,
        timeout_seconds=None,
        first_audio_timeout_seconds=None,
    )


def speech_format() -> AudioFormat:
    """What eSpeak makes: mono, at the rate of its voices.

    Raises:
        SpeechError: eSpeak NG is missing or broken.
    """
    return AudioFormat(engine()[1])


def check_voice(voice: str) -> None:
    """See that there is such a voice.

    Raises:
        SpeechError: there is none, or eSpeak NG is missing or broken.
    """
    with LOCK:
        set_voice(voice)


class _Words:
    """Finds the words of a text by the places that eSpeak gives."""

    def __init__(self, text: str, sample_rate: int, on_word: Callable[[str, float], object]) -> None:
        self._words: Final = list(_WORD.finditer(text))
        self._sample_rate: Final = sample_rate
        self._on_word: Final = on_word
        self._next = 0

    def take(self, events: Any) -> None:
        """Report the words that begin in one list of events."""
        index = 0
        while (event := events[index]).type != _EVENT_LIST_TERMINATED:
            if event.type == _EVENT_WORD:
                self._report(event.text_position - 1, event.sample / self._sample_rate)
            index += 1

    def _report(self, place: int, at: float) -> None:
        # eSpeak takes "2026" for five words with odd lengths and "don't" for "don". So only the place counts, and a
        # word of the text is reported once. Rarely it leaves out the first: that one begins with the audio.
        if not self._next and self._words and self._words[0].end() <= place:
            self._on_word(self._words[0].group(), 0.0)
            self._next = 1
        while self._next < len(self._words) and self._words[self._next].end() <= place:
            self._next += 1
        if self._next < len(self._words) and self._words[self._next].start() <= place:
            self._on_word(self._words[self._next].group(), at)
            self._next += 1
