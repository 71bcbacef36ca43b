"""What `import playback.native` says where something that it needs is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPORT = "import sys, playback.rtp, playback.track; sys.modules['libdatachannel'] = None\n{}import playback.native"


def raised(before: str = "") -> str:
    """The last line of what an import without the package raises, in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", IMPORT.format(before)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


@pytest.mark.portable
def test_names_the_extra_where_the_package_is_missing() -> None:
    error = raised("sys.version_info = (3, 12, 0, 'final', 0)\n")
    assert error.startswith("ImportError: playback.native needs the package libdatachannel-py")
    assert "pip install 'voice-playback[native]'" in error


@pytest.mark.portable
def test_names_the_python_that_it_needs() -> None:
    before = "" if sys.version_info < (3, 12) else "sys.version_info = (3, 11, 9, 'final', 0)\n"
    error = raised(before)
    assert error.startswith("ImportError: playback.native needs Python 3.12 or later")
    assert "playback.track" in error
