"""``pytest -p tests.touched``: fail if the run left out a module that depends on the release of Python or of PyAV.

The portable tests are a selection, and modules are added and moved; this keeps the selection complete. A module is
touched when one of its functions is called: to import it is not enough. Python can watch that at no cost since 3.12
(PEP 669); where it can't, nothing is checked.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import CodeType
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parent.parent
LIBRARIES: Final = {"aiortc", "asyncio", "av", "numpy"}
"""What differs from release to release."""
ADAPTERS: Final = ROOT / "playback" / "integrations"
FRAMEWORKS: Final = tuple(folder.name for folder in (ROOT / "tests" / "frameworks").iterdir() if folder.is_dir())
"""The adapters for these are tested where the framework is installed."""
ELSEWHERE: Final = {
    ROOT / "playback" / "native",  # by `make native`, on the newest Python
    ROOT / "playback" / "serving" / "native_engine.py",
    ROOT / "playback" / "serving" / "ray.py",  # by `make serving`, where Ray is installed
}
"""Tested in environments of their own."""

_MONITORING: Final[Any] = getattr(sys, "monitoring", None)
_touched: Final[set[str]] = set()


def depending() -> list[Path]:
    """The modules of the package that import one of the libraries."""
    modules = sorted((ROOT / "playback").rglob("*.py"))
    return [path for path in modules if _depends(path) and not _needs_a_framework(path)]


def pytest_configure() -> None:
    """Begin to watch."""
    if _MONITORING is not None:
        tool, starts = _MONITORING.COVERAGE_ID, _MONITORING.events.PY_START
        _MONITORING.use_tool_id(tool, "touched")
        _MONITORING.register_callback(tool, starts, _started)
        _MONITORING.set_events(tool, starts)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail if a module was left out."""
    if _MONITORING is None:
        return
    _MONITORING.set_events(_MONITORING.COVERAGE_ID, 0)
    _MONITORING.free_tool_id(_MONITORING.COVERAGE_ID)
    if session.exitstatus != pytest.ExitCode.OK:
        return
    missed = [str(path.relative_to(ROOT)) for path in depending() if str(path) not in _touched]
    if missed:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        sys.stderr.write(f"\nno portable test touches {', '.join(missed)}: mark one with pytest.mark.portable\n")


def _started(code: CodeType, offset: int) -> object:
    """Note a function's file; once is enough."""
    if code.co_name != "<module>":
        _touched.add(code.co_filename)
    return _MONITORING.DISABLE


def _depends(path: Path) -> bool:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported.add(node.module.partition(".")[0])
    return bool(imported & LIBRARIES)


def _needs_a_framework(path: Path) -> bool:
    if path in ELSEWHERE or not ELSEWHERE.isdisjoint(path.parents):
        return True
    return ADAPTERS in path.parents and path.relative_to(ADAPTERS).parts[0].startswith(FRAMEWORKS)
