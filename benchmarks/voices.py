"""Short utterances in many voices: flite's (Debian's package ``flite``) and eSpeak NG's, quiet or with noise."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from math import gcd
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from zlib import crc32

import av
import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from playback.bargein.recognizer import RATE
from playback.speech import speech_format, synthesize

Audio = NDArray[np.int16]

LEVEL: Final = 12_000
"""The peak of each utterance."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of one of the two programs."""

    program: str
    name: str

    @property
    def is_there(self) -> bool:
        """Whether its program is installed; eSpeak NG comes with the packages."""
        return self.program != "flite" or shutil.which("flite") is not None


TUNED: Final = (
    Voice("flite", "kal"),
    Voice("flite", "rms"),
    Voice("espeak", "en-us"),
    Voice("espeak", "en+f2"),
    Voice("espeak", "en-gb-scotland+m3"),
    Voice("espeak", "en-gb-x-rp+f4"),
)
"""The voices that the grammar of short words was tuned with."""

JUDGED: Final = (
    Voice("flite", "slt"),
    Voice("flite", "awb"),
    Voice("espeak", "en-gb-x-rp+m1"),
    Voice("espeak", "en-us+m7"),
    Voice("espeak", "en-us-nyc+f5"),
    Voice("espeak", "en-029+f3"),
)
"""The voices that it is judged by."""


@dataclass(frozen=True, slots=True)
class Saying:
    """What is said: a text, or the phones of each program, where both would spell the text ("em aitch em")."""

    text: str
    flite: str = ""
    espeak: str = ""


COMMANDS: Final = tuple(
    map(
        Saying,
        (
            "Stop.",
            "Stop!",
            "Wait.",
            "Wait!",
            "No.",
            "No!",
            "Hold on.",
            "Hello?",
            "Excuse me.",
            "No, no.",
            "Wait, wait.",
            "Stop, stop.",
            "No, wait.",
        ),
    )
)

BACKCHANNELS: Final = (
    Saying("mm hm", "pau m hh m pau", "m-h'm-"),
    Saying("mm", "pau m m pau", "m-m-"),
    Saying("hm", "pau hh m pau", "h'm-"),
    Saying("mhm", "pau ah m hh ah m pau", "Vmh'Vm"),
    Saying("Uh huh."),
    *map(Saying, ("Yeah.", "Okay.", "Right.", "Yes.", "Sure.", "Yeah, yeah.", "Okay, okay.")),
)

OTHERS: Final = tuple(
    map(
        Saying,
        (
            "Could you make it nine instead?",
            "Nine.",
            "I would like a table for two.",
            "What time is it?",
            "Blue.",
            "Tomorrow evening.",
            "Thank you very much.",
            "How much does it cost?",
            "And then what?",
            "Seven people.",
        ),
    )
)
"""What is in no list."""


@cache
def say(voice: Voice, saying: Saying) -> Audio:
    """An utterance, mono at 16 kHz, with the same peak for all.

    Raises:
        OSError: flite is not installed.
        subprocess.CalledProcessError: it has failed.
        playback.speech.SpeechError: eSpeak NG is missing, or has no such voice.
    """
    samples, rate = (_flite if voice.program == "flite" else _espeak)(voice.name, saying)
    divisor = gcd(rate, RATE)
    audio: NDArray[np.float64] = resample_poly(samples.astype(np.float64), RATE // divisor, rate // divisor)
    scaled: Audio = (audio * (LEVEL / max(1.0, float(np.abs(audio).max())))).astype(np.int16)
    return scaled


def in_noise(audio: Audio, decibels: float | None) -> Audio:
    """An utterance with a second of pause on both sides.

    Args:
        audio: as :func:`say` gives it.
        decibels: how much louder it is than a pink noise beneath all of it; None for none.
    """
    padded = np.concatenate([np.zeros(RATE), audio, np.zeros(RATE)])
    if decibels is not None:
        loud = audio[np.abs(audio) > 0.02 * LEVEL].astype(np.float64)
        rng = np.random.default_rng(crc32(audio.tobytes()))
        frequencies = np.fft.rfftfreq(len(padded), 1 / RATE)
        spectrum = np.fft.rfft(rng.normal(size=len(padded))) / np.sqrt(np.maximum(frequencies, 20))
        noise = np.fft.irfft(spectrum, len(padded))
        padded += noise * np.sqrt(np.mean(loud**2) / np.mean(noise**2)) * 10 ** (-decibels / 20)
    noisy: Audio = np.clip(padded, -32768, 32767).astype(np.int16)
    return noisy


def _flite(voice: str, saying: Saying) -> tuple[Audio, int]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "said.wav"
        said = ("-p", saying.flite) if saying.flite else ("-t", saying.text)
        subprocess.run(["flite", "-voice", voice, *said, "-o", str(file)], check=True, capture_output=True)
        with av.open(str(file)) as container:
            frames: list[Audio] = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
            return np.concatenate(frames), container.streams.audio[0].rate


def _espeak(voice: str, saying: Saying) -> tuple[Audio, int]:
    chunks: list[bytes] = []

    def keep(chunk: bytes) -> bool:
        chunks.append(chunk)
        return True

    text = f"[[{saying.espeak}]]" if saying.espeak else saying.text
    synthesize(text, keep, lambda *_: None, voice=voice, phonemes=bool(saying.espeak))
    return np.frombuffer(b"".join(chunks), np.int16), speech_format().sample_rate
