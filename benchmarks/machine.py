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
    """For how long other machines have had a core that this one wanted, so far; 0 where the system does not say."""
    file = Path("/proc/stat")
    return int(file.read_text().split()[8]) / os.sysconf("SC_CLK_TCK") if file.exists() else 0.0


def _processor() -> str:
    """Its name, where the system says."""
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
