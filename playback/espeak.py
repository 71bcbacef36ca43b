"""eSpeak NG, the engine of :mod:`playback.speech`, which also says how words are pronounced. Needs ``espeakng-loader``.

eSpeak NG is under the GNU General Public License (version 3 or later): nothing needs it, and what can use it says so.
"""

from __future__ import annotations

import ctypes
import re
from functools import cache
from importlib import import_module
from threading import Lock
from typing import Any, Final

CHUNK_MILLISECONDS: Final = 60
"""How much audio eSpeak hands over at a time."""

# Constants of espeak-ng/speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS: Final = 2
_INITIALIZE_DONT_EXIT: Final = 0x8000
CHARS_UTF8: Final = 1
_PHONEMES_IPA: Final = 2

_CONTROLS: Final = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ")
"""U+0001 begins a command to the engine, such as one to speak faster, which holds for every text to come."""

_DOTTED: Final = re.compile(r"(?:[^\s.]{1,3}\.+){20,}")
"""A long abbreviation, such as ``a.b.c.`` and so on: from 200 letters on, eSpeak NG 1.52 writes beyond a buffer."""

_LOADING: Final = Lock()
LOCK: Final = Lock()
"""Whoever calls the library holds it: eSpeak has one voice and one callback for the whole process."""


class SpeechError(Exception):
    """Speech can't be made: eSpeak NG is missing or broken, or has no such voice."""


def engine() -> tuple[Any, int]:
    """The library, initialized, and its sample rate.

    Raises:
        SpeechError: eSpeak NG is missing or broken.
    """
    with _LOADING:
        return _load()


def set_voice(voice: str) -> None:
    """Choose the voice of the next call; :data:`LOCK` must be held.

    Raises:
        SpeechError: there is no such voice, or eSpeak NG is missing or broken.
    """
    if engine()[0].espeak_SetVoiceByName(voice.encode()):
        raise SpeechError(f"eSpeak NG has no voice {voice!r}; en, en-us, de, fr and many more are there")


def harmless(text: str) -> str:
    """A text that the engine can take, of the same length: the places of its words stay as they are."""
    text = text.encode("utf-8", "replace").decode().translate(_CONTROLS)
    return _DOTTED.sub(lambda dotted: dotted[0].replace(".", " "), text)


def phonemes(text: str, voice: str) -> str:
    """How a text is pronounced, in the letters of the International Phonetic Alphabet (IPA).

    Args:
        text: a word or more.
        voice: a language or voice of eSpeak's, such as ``en-us`` or ``de``.

    Returns:
        The phonemes with marks of stress, words separated by spaces; empty if nothing of it has a sound.

    Raises:
        SpeechError: eSpeak NG is missing or broken, or has no such voice.
    """
    library, _ = engine()
    data = ctypes.create_string_buffer(harmless(text).encode())
    left = ctypes.c_void_p(ctypes.addressof(data))
    clauses: list[str] = []
    with LOCK:
        set_voice(voice)
        while left.value:  # one clause at a time; it is null behind the last one
            said: bytes | None = library.espeak_TextToPhonemes(ctypes.byref(left), CHARS_UTF8, _PHONEMES_IPA)
            clauses.append((said or b"").decode("utf-8", "replace").strip())
    return " ".join(filter(None, clauses))


@cache
def _load() -> tuple[Any, int]:
    try:
        loader = import_module("espeakng_loader")
        library = ctypes.CDLL(str(loader.get_library_path()))
        data_path = str(loader.get_data_path())
    except ModuleNotFoundError as error:
        raise SpeechError("speech needs eSpeak NG: install it with pip install 'voice-playback[demo]'") from error
    except (OSError, RuntimeError) as error:
        raise SpeechError(f"eSpeak NG can't be loaded: {error}") from error
    sample_rate = library.espeak_Initialize(
        _AUDIO_OUTPUT_SYNCHRONOUS, CHUNK_MILLISECONDS, data_path.encode(), _INITIALIZE_DONT_EXIT
    )
    if sample_rate <= 0:
        raise SpeechError(f"eSpeak NG can't be initialized with the data in {data_path}: error {sample_rate}")
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int)
    return library, sample_rate
