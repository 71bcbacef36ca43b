"""The functions of libopus that are called directly: the library is the one that PyAV's wheel ships.

A call through ctypes releases the interpreter's lock while it runs. No binding from PyPI is used: opuslib and
opuslib-next need a libopus that the system has installed, and copy each frame twice; those that bundle one are alpha
versions, or make Ogg streams. PyAV, which is there anyway, brings the same library that its own encoder calls.

What an encoder or a decoder remembers is one piece of memory, which may be copied (opus.h: "The encoder state is always
continuous in memory and only a shallow copy is sufficient to copy it"). Here that memory belongs to a Python object, so
that it is freed with it.
"""

from __future__ import annotations

import ctypes
import logging
import re
from collections.abc import Iterator
from ctypes import c_char_p, c_int, c_int32, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, Final

import av

LOGGER: Final = logging.getLogger("playback")

_NAME: Final = re.compile(r"(lib)?opus([-.]|$)")
"""``libopus-114e2b1a.so.0.11.1``, ``libopus.0.dylib``; and not ``libopusfile``."""

# opus_defines.h
APPLICATIONS: Final = {"voip": 2048, "audio": 2049, "lowdelay": 2051}
SET_BITRATE: Final = 4002
SET_VBR: Final = 4006
SET_COMPLEXITY: Final = 4010
SET_INBAND_FEC: Final = 4012
SET_PACKET_LOSS_PERC: Final = 4014
SET_VBR_CONSTRAINT: Final = 4020
GET_LOOKAHEAD: Final = 4027
RESET_STATE: Final = 4028
SET_PREDICTION_DISABLED: Final = 4042


class LibOpus:
    """The library, with the types of what is called.

    Args:
        library: as ctypes has loaded it.

    Raises:
        AttributeError: it lacks one of the functions.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        def function(name: str, result: Any, *arguments: Any) -> Any:
            found = getattr(library, name)
            found.restype, found.argtypes = result, arguments
            return found

        self.error: Final = function("opus_strerror", c_char_p, c_int)
        self.encoder_size: Final = function("opus_encoder_get_size", c_int, c_int)
        self.encoder_init: Final = function("opus_encoder_init", c_int, c_void_p, c_int32, c_int, c_int)
        # The value is variadic: it is left out here, so that ctypes passes it as the platform wants it.
        self.encoder_ctl: Final = function("opus_encoder_ctl", c_int, c_void_p, c_int)
        self.encode: Final = function("opus_encode", c_int32, c_void_p, c_void_p, c_int, c_void_p, c_int32)
        self.decoder_size: Final = function("opus_decoder_get_size", c_int, c_int)
        self.decoder_init: Final = function("opus_decoder_init", c_int, c_void_p, c_int32, c_int)
        self.decode: Final = function("opus_decode", c_int, c_void_p, c_char_p, c_int32, c_void_p, c_int, c_int)

    def check(self, result: int, what: str) -> int:
        """The result of a call, if it is none of libopus' errors.

        Raises:
            ValueError: it is one.
        """
        if result < 0:
            raise ValueError(f"libopus: {what}: {self.why(result)}")
        return result

    def why(self, result: int) -> str:
        """What libopus says of one of its errors."""
        text: bytes = self.error(result)
        return text.decode()


@cache
def load() -> LibOpus | None:
    """The library, or None if it is not found, which is logged once."""
    for name in _names():
        try:
            return LibOpus(ctypes.CDLL(name))
        except (OSError, AttributeError):
            continue
    LOGGER.warning(
        "no libopus is found beside PyAV, %s: Opus is encoded through PyAV, which takes more CPU, and prepared packets"
        " are not used",
        Path(av.__file__).parent,
    )
    return None


def _names() -> Iterator[str]:
    """Where it may be: in PyAV's wheel for Linux and Windows, in that for macOS, and on the loader's path."""
    package = Path(av.__file__).parent
    for folder in (package.with_name("av.libs"), package / ".dylibs"):
        if folder.is_dir():
            yield from sorted(str(file) for file in folder.iterdir() if _NAME.match(file.name))
    yield from ("libopus.so.0", "libopus.0.dylib")
