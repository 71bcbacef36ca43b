"""What the reference makes of docstrings: roles become links, the indented code of an example becomes a block.

Docstrings are written to be read where they stand, with the roles that tools for Python know. The site is Markdown,
which knows none.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`([\w.]+)`")
LITERAL = re.compile(r"(?<!`)``([^`]+)``(?!`)")
EXAMPLE = re.compile(r"^(\w+)::\n\n((?: {4,}.*\n?|\n)+)", re.MULTILINE)


class Roles(griffe.Extension):
    """Rewrites every docstring of a package once all of it is known."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_: Any) -> None:
        """Rewrite what is to be rewritten."""
        for thing in _all_of(pkg):
            if thing.docstring is not None:
                thing.docstring.value = _rewritten(thing.docstring.value, thing, loader)


def _all_of(thing: griffe.Object) -> Iterator[griffe.Object]:
    yield thing
    for member in thing.members.values():
        if isinstance(member, griffe.Object):
            yield from _all_of(member)


def _rewritten(text: str, where: griffe.Object, loader: griffe.GriffeLoader) -> str:
    text = EXAMPLE.sub(_fenced, text)
    text = ROLE.sub(lambda role: _link(role[1], where, loader), text)
    return LITERAL.sub(r"`\1`", text)


def _fenced(block: re.Match[str]) -> str:
    """An indented block, with its language named."""
    return f"{block[1]}:\n\n```python\n{textwrap.dedent(block[2]).strip()}\n```\n\n"


def _link(name: str, where: griffe.Object, loader: griffe.GriffeLoader) -> str:
    """A name as code; as a link, where the reference has what it names."""
    path = _path(name, where, loader)
    code = f"<code>{name}</code>"
    return code if path is None else f'<autoref optional identifier="{path}">{code}</autoref>'


def _path(name: str, where: griffe.Object, loader: griffe.GriffeLoader) -> str | None:
    first, *rest = name.split(".")
    try:
        start = where.resolve(first)
    except griffe.NameResolutionError:
        start = first
    try:
        found = loader.modules_collection[".".join((start, *rest))]
        return found.final_target.path if isinstance(found, griffe.Alias) else found.path
    except (KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError):
        return None
