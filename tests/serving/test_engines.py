"""Engines by name, also where what one of them needs is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from playback.cli import main
from playback.serving.aiortc_engine import AiortcEngine
from playback.serving.engines import make_engine

AGENT = "tests.serving.agents:talk"
MISSING = """
import sys
sys.modules["libdatachannel"] = None
from playback.cli import main
main(["serve", "tests.serving.agents:talk", "--engine", "native"])
"""


@pytest.mark.portable
def test_aiortc_is_made_with_the_stun_servers_alone() -> None:
    assert isinstance(make_engine("aiortc", ["turn:x", "stun:x"]), AiortcEngine)


@pytest.mark.portable
def test_there_is_no_other_engine() -> None:
    with pytest.raises(ValueError, match="engine is 'pigeon', expected one of aiortc, native"):
        make_engine("pigeon", [])


@pytest.mark.portable
def test_one_port_is_native_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", AGENT, "--udp-port", "40000"])
    assert ended.value.code == 2
    assert "udp_port is 40000 with the engine 'aiortc'" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.portable
def test_native_names_what_is_missing() -> None:
    done = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    error = done.stderr.splitlines()[-1]
    assert "engine is 'native', which can't be used here: playback.native needs" in error
