"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("voice-playback", "aiortc", "av", "numpy", "transitions", "pyee", "uvloop")


def about() -> dict[str, Any]:
    """The machine and the versions, for whoever compares."""
    return {
        "date": date.today().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {"Python": platform.python_version()}
        | {name: found for name in PACKAGES if (found := _version(name))},
    }


def stolen_seconds() -> float:
    """For how long other machines have had a core that this one wanted, so far; 0 where the system does not tell."""
    told = Path("/proc/stat")
    return int(told.read_text().split()[8]) / os.sysconf("SC_CLK_TCK") if told.exists() else 0.0


def _processor() -> str:
    """Its name, where the system tells."""
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
