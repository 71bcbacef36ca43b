"""The example, the page and the comparison show what works."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from compare import SCENARIOS, ours
from getstream.video.rtc import AudioStreamTrack

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "frameworks" / "vision_agents.md"


def test_the_example_works() -> None:
    command = [sys.executable, ROOT / "examples" / "vision_agents_call.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "'Your table is'" in done.stdout


def test_the_code_on_the_page_works() -> None:
    blocks = re.findall(r"^```py\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    names = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)


@pytest.mark.parametrize(
    ("name", "theirs", "mine"),
    [
        ("an answer of 40 s, synthesized at once", "10.00 s lost", "0.00 s lost"),
        ("a cough after 1 s of 3 s", "2.00 s lost", "0.00 s lost"),
        ("ten pieces of 21 ms", "171 ms of gaps in 210 ms", "0 ms of gaps in 210 ms"),
    ],
)
async def test_the_figures_on_the_page(name: str, theirs: str, mine: str) -> None:
    assert (await SCENARIOS[name](AudioStreamTrack()), await SCENARIOS[name](ours())) == (theirs, mine)
    assert f"| {name} | {theirs} | {mine} |" in PAGE.read_text()
