"""Programs that some tests need: without them such a test is skipped, but in CI it has to run."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
NODE_MODULES: Final = next(
    (folder for folder in (Path(sys.prefix) / "node", ROOT / ".venv" / "node") if folder.is_dir()), ROOT
)
"""Where ``make`` has installed XState: in its environment; where that is another one, in the default one."""


def need_program(name: str, package: str) -> None:
    """Go on if a program is there; in CI, fail if it is not."""
    if shutil.which(name) is None:
        _without(f"needs the program {name!r} ({package})")


def need_xstate() -> None:
    """Go on if Node runs and has XState."""
    need_program("node", "Node.js")
    find = ["node", "-e", "require('module').createRequire(process.argv[1])('xstate')", f"{NODE_MODULES}/"]
    if subprocess.run(find, capture_output=True, check=False).returncode:
        _without("needs XState for Node.js, which make test installs where there is npm")


def need_module(name: str, package: str, *, for_module: bool = False) -> None:
    """Go on if a Python module is there; in CI, fail if it is not. ``for_module`` skips all of a test module."""
    if importlib.util.find_spec(name) is None:
        _without(f"needs the Python module {name!r} ({package})", for_module=for_module)


def _without(reason: str, *, for_module: bool = False) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=for_module)
