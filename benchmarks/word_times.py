"""Speech with the true times of its words: they are the synthesizer's own, of eSpeak NG and of flite.

flite's are read from its utterance, through the library that Debian's package ``flite`` brings; eSpeak NG says when a
word begins, and where it ends is found by the silence that follows it.
"""

from __future__ import annotations

import ctypes
import re
from ctypes.util import find_library
from functools import cache
from math import gcd
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from benchmarks.voices import Audio, Voice
from playback.align.pauses import RATE
from playback.speech import speech_format, synthesize

VOICES: Final = (
    Voice("flite", "slt"),
    Voice("flite", "rms"),
    Voice("flite", "awb"),
    Voice("flite", "kal"),
    Voice("espeak", "en"),
    Voice("espeak", "en-us"),
    Voice("espeak", "en-gb-x-rp+f4"),
    Voice("espeak", "en-us+m7"),
    Voice("espeak", "en-gb-scotland+m3"),
    Voice("espeak", "en-us-nyc+f5"),
    Voice("espeak", "en-029+f3"),
)
"""Voices that pocketsphinx's model was not trained with."""

TEXTS: Final = (
    "Your table is booked for eight o'clock this Friday evening, and our kitchen stays open until eleven.",
    "I'm sorry, but that flight has already left. Another one goes tomorrow morning at half past six.",
    "Thanks for calling. Could you please give me your name and the number that's printed under your photo?",
    "Okay, let me check that for you. It looks as if your package was delivered yesterday afternoon.",
    "We have three rooms left: one with a balcony, one facing a garden, and a small one under the roof.",
    "If you want to change your password, open your settings, choose security, and follow each step.",
    "No problem at all. I have moved your appointment to Monday, and you'll get a message to confirm it.",
    "Our office is closed during weekends; however, you can always leave a message and we'll call you back.",
    "To make this sauce, melt some butter, add flour, stir well, and slowly pour warm milk over it.",
    "She said that nobody had ever asked her that question before, which surprised me a great deal.",
    "Turn left after two traffic lights, go straight one more mile, then look: your museum is beside you.",
    "I understand how frustrating this must be, and I promise that we can find a solution together.",
    "Before we continue, I need to verify a few details. What is your date of birth?",
    "Well, it depends. Some people prefer trains because they are cheaper, others like driving.",
    "That's a wonderful idea! Shall I order those flowers now, or would you rather wait?",
    "Your total is $42.50, and we charge it when your order leaves us.",
    "About 1,250 people came, which is 15% more than they expected.",
    "Flight 402 leaves from gate 12 at 6:05 tomorrow, so please hurry.",
    "Dr. Lee lives near Baker Street and owns 3.5 acres.",
    "Xylia Kowalczyk and Thandeka Nkosi joined Blorptech Systems together.",
)
"""What agents say, with amounts, times, and names that are in no dictionary. Some words are avoided that eSpeak NG says
as one ("of the"), for it reports one time for both."""

_WORD: Final = re.compile(r"\w+(?:['’.,:-]\w+)*")
_SILENT: Final = 0.01
"""What ends a word of eSpeak's before the next one begins, as a share of the peak."""
_GAP_SECONDS: Final = 0.03


class Said(NamedTuple):
    """A text that was spoken, one channel at the aligner's rate."""

    voice: Voice
    text: str
    audio: Audio
    starts: tuple[float, ...]
    """When each word of the text begins, in seconds; words are what stands between spaces."""
    ends: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.audio) / RATE


def say(voice: Voice, text: str) -> Said | None:
    """Speak a text; None where the synthesizer does not say when each of its words sounds."""
    return _flite(voice, text) if voice.program == "flite" else _espeak(voice, text)


def _resampled(samples: NDArray[np.int16], rate: int) -> Audio:
    divisor = gcd(rate, RATE)
    audio = resample_poly(samples.astype(np.float64), RATE // divisor, rate // divisor)
    resampled: Audio = np.clip(audio, -32768, 32767).astype(np.int16)
    return resampled


def _espeak(voice: Voice, text: str) -> Said | None:
    chunks: list[bytes] = []
    times: list[float] = []

    def keep(chunk: bytes) -> bool:
        chunks.append(chunk)
        return True

    synthesize(text, keep, lambda _, at: times.append(at), voice=voice.name)
    audio = _resampled(np.frombuffer(b"".join(chunks), np.int16), speech_format().sample_rate)
    if len(times) != len(_WORD.findall(text)):
        return None
    starts: list[float] = []
    at = 0
    for piece in text.split():
        starts.append(times[at])
        at += len(_WORD.findall(piece))
    loud = np.abs(audio) > _SILENT * np.abs(audio).max()
    ends: list[float] = []
    for start, following in zip(starts, [*starts[1:], len(audio) / RATE], strict=True):
        sounding = np.flatnonzero(loud[round(start * RATE) : round(following * RATE)])
        end = start + (sounding[-1] + 1) / RATE if len(sounding) else following
        ends.append(float(end if following - end > _GAP_SECONDS else following))
    return Said(voice, text, audio, tuple(starts), tuple(ends))


class _Wave(ctypes.Structure):
    """cst_wave."""

    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


@cache
def _library(name: str) -> Any:
    path = find_library(name)
    if path is None:
        raise OSError(f"the library {name} is not installed: it comes with Debian's package flite")
    return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)


@cache
def _flite_library() -> Any:
    library = _library("flite")
    for name in ("flite_cmulex", "flite_usenglish"):
        _library(name)
    pointer = ctypes.c_void_p
    for function, result, arguments in (
        ("flite_synth_text", pointer, (ctypes.c_char_p, pointer)),
        ("utt_wave", ctypes.POINTER(_Wave), (pointer,)),
        ("utt_relation", pointer, (pointer, ctypes.c_char_p)),
        ("relation_head", pointer, (pointer,)),
        ("item_next", pointer, (pointer,)),
        ("ffeature_float", ctypes.c_float, (pointer, ctypes.c_char_p)),
        ("delete_utterance", None, (pointer,)),
    ):
        getattr(library, function).restype, getattr(library, function).argtypes = result, arguments
    library.flite_init()
    return library


@cache
def _flite_voice(name: str) -> Any:
    register = getattr(_library(f"flite_cmu_us_{name}"), f"register_cmu_us_{name}")
    register.restype, register.argtypes = ctypes.c_void_p, (ctypes.c_char_p,)
    return register(None)


def _flite(voice: Voice, text: str) -> Said | None:
    library = _flite_library()
    utterance = library.flite_synth_text(text.encode(), _flite_voice(voice.name))
    wave = library.utt_wave(utterance).contents
    audio = _resampled(np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).copy(), wave.sample_rate)
    starts: list[float] = []
    ends: list[float] = []
    token = library.relation_head(library.utt_relation(utterance, b"Token"))
    while token:  # what stands between spaces; its daughters are the words that are said for it
        first = b"daughter1.R:SylStructure.daughter1.daughter1.R:Segment.p.end"
        last = b"daughtern.R:SylStructure.daughtern.daughtern.R:Segment.end"
        starts.append(library.ffeature_float(token, first))
        ends.append(library.ffeature_float(token, last))
        token = library.item_next(token)
    library.delete_utterance(utterance)
    return Said(voice, text, audio, tuple(starts), tuple(ends)) if len(starts) == len(text.split()) else None
