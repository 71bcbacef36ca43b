"""``python -m tests.docs.words``: find words that are not to be used, and say what to write instead.

``words.toml`` lists them. Checkers of spelling know neither phrases nor parts of names, such as ``test_it_is_told``.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
LIST: Final = "words.toml"

FOLDERS: Final = (*(".ci", ".github", "benchmarks", "docs", "examples", "mutants", "playback", "statecharts", "tests"),)
SUFFIXES: Final = {"", ".css", ".html", ".js", ".md", ".mjs", ".py", ".toml", ".yaml", ".yml"}
SKIPPED: Final = {LIST, "tests/docs/words.py", "tests/docs/test_words.py"}
"""What has to name the words."""


@dataclass(frozen=True, slots=True)
class Word:
    """What is not to be written, and what is to be written instead."""

    pattern: re.Pattern[str]
    write: str
    within: Sequence[str] = ("**",)
    wrong: Sequence[str] = ()
    right: Sequence[str] = ()

    def applies_to(self, name: str) -> bool:
        """Whether it is looked for in a file."""
        return any(fnmatchcase(name, glob) for glob in self.within)


@dataclass(slots=True)
class Allowed:
    """A place where a word is right."""

    file: str
    text: str
    why: str
    is_used: bool = field(default=False, init=False)


@dataclass(frozen=True, slots=True)
class Words:
    """The list."""

    words: Sequence[Word]
    exceptions: Sequence[Allowed]

    @classmethod
    def load(cls, path: Path) -> Words:
        """Read the list from a file."""
        content: dict[str, list[dict[str, Any]]] = tomllib.loads(path.read_text(encoding="utf-8"))
        words = [Word(**{**each, "pattern": re.compile(each["pattern"])}) for each in content["word"]]
        return cls(words, [Allowed(**each) for each in content.get("except", [])])

    def found(self, name: str, text: str) -> Iterator[str]:
        """A line for each word in the text of a file; exceptions that allow one are noted."""
        words = [word for word in self.words if word.applies_to(name) and word.pattern.search(text)]
        exceptions = [each for each in self.exceptions if each.file == name]
        for number, line in enumerate(text.splitlines() if words else (), 1):
            for word in words:
                for match in word.pattern.finditer(line):
                    if not self._allows(exceptions, line, match):
                        yield f"{name}:{number}:{match.start() + 1}: {match[0]!r}, expected {word.write}"

    def _allows(self, exceptions: Sequence[Allowed], line: str, match: re.Match[str]) -> bool:
        for each in exceptions:
            start = line.find(each.text)
            if start != -1 and start <= match.start() and match.end() <= start + len(each.text):
                each.is_used = True
                return True
        return False


def files(root: Path) -> Iterator[Path]:
    """Whatever somebody writes by hand, and what is generated as text."""
    yield from (path for path in sorted(root.iterdir()) if path.is_file() and path.suffix in SUFFIXES)
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file() and "__pycache__" not in path.parts:
                yield path


def check(root: Path) -> list[str]:
    """What is wrong in a tree, a line for each."""
    words = Words.load(root / LIST)
    wrong: list[str] = []
    for path in files(root):
        name = path.relative_to(root).as_posix()
        if name not in SKIPPED:
            wrong += words.found(name, path.read_text(encoding="utf-8"))
    wrong += [f"{LIST}: {each.text!r} is not in {each.file}: drop it" for each in words.exceptions if not each.is_used]
    return wrong


if __name__ == "__main__":
    lines = check(ROOT)
    print("\n".join(lines), file=sys.stderr, end="\n" if lines else "")
    sys.exit(bool(lines))
