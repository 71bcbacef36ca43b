"""The example, the page and the comparison show what works."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from compare import SCENARIOS, measure

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "frameworks" / "openai.md"


def test_the_example_works() -> None:
    command = [sys.executable, ROOT / "examples" / "openai_realtime.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "truncated" in done.stdout


def test_the_code_on_the_page_works() -> None:
    blocks = re.findall(r"^```py\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    names = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)


@pytest.mark.parametrize("name", ["two items, the first one plays", "paused for 600 ms, resumed"])
async def test_the_tracker_knows_what_the_clock_does_not(name: str) -> None:
    assert name in SCENARIOS
    ours, theirs = await asyncio.gather(measure(name, True), measure(name, False))
    assert ours.wrong <= 1
    assert theirs.wrong > 300
