"""The page about the architecture names what is there: each module that it lists, and what a table says is in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "architecture.md").read_text()
TREE: Final = PAGE[PAGE.index("```text") : PAGE.index("```", PAGE.index("```text") + 3)]
TABLE: Final = [line for line in PAGE[PAGE.index("## Where do I change") :].splitlines() if line.startswith("| ")][2:]
LISTED: Final = ("playback", "playback/core", "playback/audio", "playback/bargein", "playback/words", "statecharts")
"""The folders of which the tree names each module."""

FOLDERS: Final = ("", "playback/", "tests/transports/", "tests/core/")
FILE: Final = re.compile(r"`([\w./-]+\.(?:py|md|toml|js|yml))`(?:: ((?:`\w[\w.]*`(?:, | and )?)+))?")
"""A file, and the names that are in it."""


def found(name: str) -> Path | None:
    return next((path for folder in FOLDERS if (path := ROOT / folder / name).is_file()), None)


@pytest.mark.parametrize("folder", LISTED)
def test_the_tree_names_each_module(folder: str) -> None:
    named = set(re.findall(r"\w+\.py", TREE))
    assert {path.name for path in (ROOT / folder).glob("*.py")} - named <= {"__init__.py"}


def test_what_the_tree_names_is_there() -> None:
    modules = {
        path.name for folder in ("playback", "statecharts", "benchmarks") for path in ROOT.glob(f"{folder}/**/*.py")
    }
    assert set(re.findall(r"\w+\.py", TREE)) <= modules
    for package in re.findall(r"^  (\w+)/", TREE, re.MULTILINE):
        assert (ROOT / "playback" / package / "__init__.py").is_file(), package


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.split("|")[1].strip()[:50])
def test_a_row_leads_to_what_is_there(row: str) -> None:
    files = FILE.findall(row)
    for name, inside in files:
        path = found(name)
        assert path is not None, name
        text = path.read_text()
        for one in re.findall(r"`(\w[\w.]*)`", inside):
            assert all(re.search(rf"\b{part}\b", text) for part in one.split(".")), (name, one)
    for test in re.findall(r"`(tests/[\w/]+/)`", row):
        assert (ROOT / test).is_dir(), test
