"""The README and the docs show what works: their code is run, their generated parts are fresh, their links lead on."""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
from aiortc import RTCPeerConnection
from mkdocs.utils.yaml import yaml_load
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from playback.events import EVENTS

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PARTS: Final = {DOCS / "charts", DOCS / "performance"}
"""Where what pages include is made."""
SITE: Final = sorted(page for page in DOCS.rglob("*.md") if page.parent not in PARTS)
PAGES: Final = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")), *SITE]

run = Sybil(parsers=[PythonCodeBlockParser()], path=str(ROOT))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@each_page
def test_the_code_on_a_page_works(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.name == "native.md" and find_spec("libdatachannel") is None:
        pytest.skip("there is no libdatachannel here: tests/native/test_page.py runs it where there is")
    monkeypatch.chdir(tmp_path)  # for what it writes
    # With the loopback address alone, nothing depends on the network of the machine.
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_: ["127.0.0.1"])
    for example in run.parse(page).examples():
        example.evaluate()


def test_there_is_code_on_the_pages() -> None:
    counts = {str(page.relative_to(ROOT)): len(list(run.parse(page).examples())) for page in PAGES}
    assert sum(counts.values()) >= 50
    assert counts["docs/tutorial.md"] >= 12


def test_the_guide_has_a_complete_turn_of_an_agent_in_few_lines() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / "guide.md").read_text(), re.MULTILINE | re.DOTALL)
    first = next(block for block in blocks if "controller.turn()" in block)
    assert "turn.speak(" in first
    assert "turn.wait()" in first
    assert len(first.splitlines()) <= 12


async def test_the_first_lines_of_the_readme_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_: ["127.0.0.1"])
    block = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)[0]
    assert len(block.splitlines()) <= 14
    names: dict[str, Any] = {}
    exec(block, names)
    asked: list[str] = []

    async def sentences() -> AsyncIterator[str]:
        yield "One."
        yield "Two."

    async def synthesize(sentence: str) -> AsyncIterator[bytes]:
        asked.append(sentence)
        yield bytes(4_800)

    connection = RTCPeerConnection()
    answer = asyncio.create_task(names["answer"](connection, sentences(), synthesize))
    async with asyncio.timeout(10):
        while len(asked) < 2:  # noqa: ASYNC110 - nothing notifies
            await asyncio.sleep(0.001)
        await connection.close()  # it never came up, so nothing was heard
        assert await answer == ""


def test_barge_in_takes_one_short_program_from_the_microphone_to_the_interruption() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / "bargein.md").read_text(), re.MULTILINE | re.DOTALL)
    assert "VoiceActivity(" in blocks[0]
    assert "policy.transcript(" in blocks[0]
    assert len(blocks[0].splitlines()) <= 40


def test_what_is_generated_from_the_chart_is_fresh() -> None:
    command = [
        sys.executable,
        "-m",
        "cogapp",
        "--check",
        "docs/chart.md",
        "playback/subscribing.py",
        "playback/bargein/subscribing.py",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nrenew it with: make charts"


@each_page
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    for target, anchor in _links(page):
        if "://" in target:
            continue
        there = page.parent / target if target else page
        assert there.is_file(), f"{page.name} links to {target}"
        # What is outside of the docs is not on the site.
        assert page not in SITE or DOCS in there.resolve().parents, f"{page.name} links out of the docs: {target}"
        if anchor and there.suffix == ".md":
            assert anchor in _anchors(there), f"{page.name} links to {target}#{anchor}"


@each_page
def test_pictures_say_in_words_what_they_show(page: Path) -> None:
    assert all(words for words in re.findall(r"!\[([^\]]*)\]", _prose(page)))


@each_page
def test_what_is_included_is_there(page: Path) -> None:
    for target in re.findall(r'^--8<-- "([^"]+)"$', page.read_text(), re.MULTILINE):
        assert (DOCS / target).is_file(), f"{page.name} includes {target}"


def test_the_site_lists_every_page_once() -> None:
    listed = list(_listed(_site()["nav"]))
    assert sorted(listed) == [str(page.relative_to(DOCS)) for page in SITE]


def test_the_site_is_built_without_a_warning_and_fetches_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    for page in SITE:
        html = (tmp_path / page.relative_to(DOCS).with_suffix(".html")).read_text()
        assert not re.findall(r"""<(?:script|link|img|iframe|source)\b[^>]*["'](?:https?:)?//[^>]*>""", html), page
    assert not re.findall(r"url\(['\"]?(?:https?:)?//", (tmp_path / "assets" / "extra.css").read_text())


def test_the_page_of_events_has_them_all_with_their_fields() -> None:
    page = (DOCS / "events.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|$", page, re.MULTILINE))
    assert rows.keys() == EVENTS.keys()
    for name, event in EVENTS.items():
        fields = set(inspect.signature(event).parameters) - {"position", "wall_time"}
        assert set(re.findall(r"`(\w+)`", rows[name])) == fields, name


def test_the_promises_are_in_order_and_each_names_tests_that_are_there() -> None:
    _, *promises = re.split(r"^## ", (DOCS / "promises.md").read_text(), flags=re.MULTILINE)
    numbers = [int(promise.split()[0].removeprefix("P")) for promise in promises]
    assert numbers[:14] == [*range(1, 15)]
    assert numbers == sorted(set(numbers))
    for promise in promises:
        tests = re.findall(r"`(tests/[\w/]+\.py)`", promise)
        assert tests, promise
        assert all((ROOT / test).is_file() for test in tests), tests


def _site() -> dict[str, Any]:
    """What the site is built from."""
    with (ROOT / "mkdocs.yml").open() as file:
        return yaml_load(file)


def _listed(nav: Any) -> Iterator[str]:
    """The pages of a navigation, or of a part of it."""
    match nav:
        case str():
            yield nav
        case dict():
            yield from _listed(list(nav.values()))
        case _:
            for item in nav:
                yield from _listed(item)


def _prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def _links(page: Path) -> list[tuple[str, str]]:
    """Where the links and the pictures of a page lead: a file, empty for the page itself, and an anchor in it."""
    return re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", _prose(page))


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}
