"""Child processes: other interpreters, which run one module of ours beside the calls of this process.

Each is a new interpreter and no fork: a fork would have the locks of threads that it does not have. It is none of
:mod:`multiprocessing` either, which would run the application's own main module once more.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_PROGRAM: Final = """
import os, sys, types
if hasattr(os, "nice"):
    os.nice(10)  # calls go first
folder, packages, module, count = sys.argv[1:5]
for name in packages.split():
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [os.path.join(folder, *name.split(".")[1:])]
arguments, sys.path[:] = sys.argv[5:5 + int(count)], sys.argv[5 + int(count):]
from importlib import import_module
import_module(module).main(arguments)
"""
"""What a child runs. It imports its module and not what the packages around it import: that takes half the time."""

_FOLDER: Final = str(Path(__file__).parent)


def start(
    module: str, arguments: Sequence[str], *, packages: Sequence[str], environment: Mapping[str, str], **options: Any
) -> subprocess.Popen[bytes]:
    """Start a process that runs a module's ``main(arguments)``, with less of the CPU than this one.

    Args:
        module: its name.
        arguments: what its main gets.
        packages: those of ours that are not imported themselves, only what is in them; from ``playback`` on.
        environment: what it gets of the environment, and what else.
        options: of :class:`subprocess.Popen`.

    Raises:
        OSError: no process can be started.
    """
    paths = [os.path.abspath(path) for path in sys.path]
    head = [_FOLDER, " ".join(packages), module, str(len(arguments))]
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _PROGRAM, *head, *arguments, *paths],
        env={**environment, "OPENBLAS_NUM_THREADS": "1"},  # threads would take memory, and cores that calls need
        bufsize=0,
        # Ctrl+C is not for it. In a session of its own, Linux would not compare how nice it is with others (autogroup).
        process_group=0,
        **options,
    )


def exit_of(code: int) -> str:
    """How a process has ended, for an error."""
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"
