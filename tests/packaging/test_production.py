"""What a call runs imports nothing that is there for tests, and looks at nothing that a test tool sets."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.portable

ROOT: Final = Path(__file__).parents[2]
PRODUCTION: Final = sorted((ROOT / "playback").rglob("*.py"))
CHARTS: Final = sorted((ROOT / "statecharts").glob("*.py"))

GLOBAL: Final = "WATCHERS"
"""By which coverage of charts is measured: statecharts alone knows of it."""
KNOWS_IT: Final = {"machine.py", "coverage.py"}

FOR_TESTS: Final = (
    "benchmarks",
    "doctest",
    "hypothesis",
    "mutants",
    "pytest",
    "statecharts.coverage",
    "statecharts.explore",
    "statecharts.pytest_plugin",
    "statecharts.testing",
    "tests",
    "unittest",
)


def imports(tree: ast.AST) -> Iterator[str]:
    """The modules that are imported anywhere in it, and what is imported from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def names(tree: ast.AST) -> Iterator[str]:
    """Whatever is named in it, plainly, as an attribute, in an import or by a string."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name) | ast.Constant(value=str(name)):
                yield name


def is_for_tests(module: str) -> bool:
    """Whether it is one of these modules, or a part of one."""
    return any(module == name or module.startswith(f"{name}.") for name in FOR_TESTS)


def test_playback_imports_nothing_that_is_there_for_tests() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in PRODUCTION
        for module in imports(ast.parse(path.read_text()))
        if is_for_tests(module)
    }
    assert len(PRODUCTION) > 80
    assert not found


def test_a_test_tool_s_global_is_named_in_statecharts_alone() -> None:
    naming = {path for path in [*PRODUCTION, *CHARTS] if GLOBAL in names(ast.parse(path.read_text()))}
    assert naming == {ROOT / "statecharts" / name for name in KNOWS_IT}


@pytest.mark.parametrize(
    "code",
    [
        "from statecharts.machine import MACHINE, WATCHERS",
        "from statecharts.machine import WATCHERS as watched",
        "import statecharts.machine as m\nm.WATCHERS",
        "getattr(machine, 'WATCHERS')",
    ],
)
def test_however_it_is_named_it_is_found(code: str) -> None:
    assert GLOBAL in names(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        "import unittest.mock",
        "from unittest import mock",
        "def f():\n    import pytest",
        "from statecharts import coverage",
        "from statecharts.coverage import Coverage",
        "from tests.signals import ramp",
    ],
)
def test_however_it_is_imported_it_is_found(code: str) -> None:
    assert any(map(is_for_tests, imports(ast.parse(code))))
