"""What writes and checks the tables of docs/frameworks, with a comparison that is made up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks import tables
from tests.frameworks.tables import BEGIN, END, Row, main, measure, problems, replaced


@dataclass
class Made:
    """As much of a ``compare.py`` as there has to be."""

    rows: tuple[Row, ...] = ((7, "none"), ("never", 0.5))
    PACKAGES: tuple[str, ...] = ("numpy",)
    HEADS: tuple[str, ...] = ("", "theirs", "ours")
    ROWS: tuple[str, ...] = ("samples lost", "silent after")

    async def measured(self) -> AsyncIterator[Row]:
        for row in self.rows:
            yield row


PAGE = f"# A framework\n\n{BEGIN}\n{END}\n\nMore, with a table of its own:\n\n| a | b |\n|---|---|\n"


async def test_a_page_has_the_table_that_was_measured() -> None:
    page = replaced(PAGE, await measure(Made()))
    assert "|  | theirs | ours |\n| --- | --- | --- |\n| samples lost | 7 | none |\n" in page
    assert "Measured with numpy " in page
    assert page.startswith("# A framework\n\n")
    assert page.endswith(PAGE.partition(END)[2])
    assert problems(page, Made()) == []
    assert replaced(page, await measure(Made())) == page


async def test_other_figures_are_no_problem_and_another_shape_is_one() -> None:
    page = replaced(PAGE, await measure(Made()))
    assert problems(page.replace("never", "20 ms").replace("7", "1,440"), Made()) == []
    assert problems(page, Made(HEADS=("", "theirs", "mine"))) == [
        "the columns are ['', 'theirs', 'ours'], expected ['', 'theirs', 'mine']"
    ]
    assert problems(page, Made(ROWS=("samples lost", "blocked"))) == [
        "there is no row 'blocked'",
        "the row 'silent after' is not measured",
    ]
    assert problems(page, Made(ROWS=("silent after", "samples lost")))[0].startswith("the rows are ")
    assert problems(page.replace(" | none", ""), Made()) == ["the row 'samples lost' has 2 cells"]
    assert problems(PAGE, Made())[0].startswith("the columns are []")


@pytest.mark.parametrize("rows", [((7, "none"),), ((7, "none"),) * 3, ((7,), (8,))])
async def test_a_comparison_measures_what_it_names(rows: Any) -> None:
    with pytest.raises(ValueError, match="row"):
        await measure(Made(rows=rows))


def test_a_page_has_one_place_for_it() -> None:
    with pytest.raises(ValueError, match="once each"):
        replaced("# A framework\n", "")


def test_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tables, "PAGES", tmp_path)
    monkeypatch.setattr(tables, "comparison", lambda _: Made())
    page = tmp_path / "livekit.md"
    page.write_text(PAGE, encoding="utf-8")
    assert main(["livekit", "--check"]) == 1
    assert "renew it with: make compare" in capsys.readouterr().err
    assert main(["livekit"]) == 0
    assert page.read_text(encoding="utf-8") == PAGE
    assert main(["livekit", "--write"]) == 0
    assert "| samples lost | 7 | none |" in page.read_text(encoding="utf-8")
    assert main(["livekit", "--check"]) == 0


@pytest.mark.parametrize("page", sorted(tables.PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_each_page_has_a_place_for_it(page: Path) -> None:
    compared = {path.parent.name for path in tables.HERE.glob("*/compare.py")}
    assert (BEGIN in page.read_text(encoding="utf-8")) == (page.stem in compared)
