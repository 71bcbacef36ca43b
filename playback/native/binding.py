"""The package that does the work: libdatachannel, whose threads do ICE, DTLS, SRTP and the sockets.

It has wheels for Python 3.12 and later. Everything else in here imports it from this module, which says what is
missing. Its types are not used: a checker that runs on Python 3.11 has none.
"""

from __future__ import annotations

import platform
import sys
from typing import Any, Final

if sys.version_info < (3, 12):
    raise ImportError(
        f"playback.native needs Python 3.12 or later, for which there is libdatachannel-py; this is Python"
        f" {platform.python_version()}: use playback.track, which needs aiortc alone"
    )
try:
    import libdatachannel
except ImportError as error:
    raise ImportError(
        "playback.native needs the package libdatachannel-py: install it with pip install 'voice-playback[native]'"
    ) from error

rtc: Final[Any] = libdatachannel
"""The module, without its types."""
