"""The page and what it needs: a fixed table, read once. No path of a request ever reaches the file system."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is handed out, by how its name ends."""

CHARTS: Final = {
    "overview": "chart-overview.svg",
    "detail": "chart-detail.svg",
    "barge_in": "barge-in.svg",
}
"""The pictures that stand within the page, by the name in its comment."""

_PLACE: Final = re.compile(r"<!-- chart:(\w+) -->")
_BEFORE_SVG: Final = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Page:
    """One thing that is handed out."""

    kind: str
    """Its media type."""
    body: bytes
    """What is in it."""


def load(package: str) -> dict[str, Page]:
    """Everything in a package's folder ``page``, by the path under which it is asked for."""
    folder = files(package).joinpath("page")
    texts: dict[str, str] = {}
    if folder.is_dir():
        for entry in folder.iterdir():
            if entry.is_file() and _suffix(entry.name) in KINDS:
                texts[entry.name] = entry.read_text(encoding="utf-8")

    def chart(place: re.Match[str]) -> str:
        # What comes before the element, such as an XML declaration, can't stand within a page.
        return _BEFORE_SVG.sub("", texts.get(CHARTS.get(place[1], ""), ""))

    index = _PLACE.sub(chart, texts.pop("index.html", "<!DOCTYPE html><title>playback</title>"))
    pages = {f"/{name}": Page(KINDS[_suffix(name)], text.encode()) for name, text in texts.items()}
    return {"/": Page(KINDS[".html"], index.encode()), **pages}


def _suffix(name: str) -> str:
    return name[name.rfind(".") :] if "." in name else ""
