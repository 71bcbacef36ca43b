"""The README and the docs show what works: their code is run, their generated parts are fresh."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from playback.events import EVENTS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

run = Sybil(parsers=[PythonCodeBlockParser()], path=str(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_on_a_page_works(page: Path) -> None:
    document = run.parse(page)
    for example in document.examples():
        example.evaluate()


def test_there_is_code_on_the_pages() -> None:
    assert sum(len(list(run.parse(page).examples())) for page in PAGES) >= 8


def test_what_is_generated_from_the_chart_is_fresh() -> None:
    command = [sys.executable, "-m", "cogapp", "--check", "README.md"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nrenew it with: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_page_of_events_has_them_all_with_their_fields() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|$", page, re.MULTILINE))
    assert rows.keys() == EVENTS.keys()
    for name, event in EVENTS.items():
        fields = set(inspect.signature(event).parameters) - {"position"}
        assert set(re.findall(r"`(\w+)`", rows[name])) == fields, name
