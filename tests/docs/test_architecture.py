"""The pages about how it is built name what is there: modules, what a table says is in them, and internal events."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from playback.chart import INTERNAL

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


def test_each_package_has_a_folder_of_tests() -> None:
    packages = {path.parent.name for path in (ROOT / "playback").glob("*/__init__.py")}
    assert {name for name in packages if not list((ROOT / "tests" / name).glob("test_*.py"))} == set()


def test_each_internal_event_has_its_line_in_the_order_of_evaluation() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|.*\|.*\S.*\|$", (ROOT / "docs" / "chart.md").read_text(), re.MULTILINE)
    assert [name for _, name in rows] == list(INTERNAL)
    assert [int(number) for number, _ in rows] == list(range(1, len(INTERNAL) + 1))
