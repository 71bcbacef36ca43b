"""The matrix: each agent framework in an environment of its own, its current release, our adapter's tests inside it.

``make integrations`` runs all; ``.venv/bin/nox -s livekit`` runs one. The last thing shown is what was run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import nox

nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True


class Framework(NamedTuple):
    """A framework, by the name of the extra for it."""

    example: str
    """Our example for it; it can't have the name of the framework's own module."""
    packages: tuple[str, ...]
    """Whose versions are told; the framework first."""


FRAMEWORKS = {
    "videosdk": Framework("videosdk_agent.py", ("videosdk-agents", "videosdk", "vsaiortc")),
    "livekit": Framework("livekit_agent.py", ("livekit-agents", "livekit")),
    "pipecat": Framework("pipecat_bot.py", ("pipecat-ai",)),
    "openai": Framework("openai_realtime.py", ("openai-agents", "openai")),
    "vision_agents": Framework("vision_agents_call.py", ("vision-agents", "getstream")),
}

TESTING = ("pytest>=8", "pytest-asyncio>=1.0", "pytest-timeout>=2.3", "espeakng-loader>=0.2.4")
RESULTS = Path("build/frameworks")

VERSIONS = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


def run(session: nox.Session, name: str) -> None:
    """Install one framework with our extra for it, run the adapter's tests and its example."""
    result = RESULTS / f"{name}.json"
    result.unlink(missing_ok=True)
    session.install("--quiet", "--upgrade", "--editable", f".[{name}]", *TESTING)
    session.run("pytest", "-q", "-c", "tests/frameworks/pytest.ini", "--rootdir", ".", f"tests/frameworks/{name}")
    session.run("python", f"examples/{FRAMEWORKS[name].example}")
    packages = (*FRAMEWORKS[name].packages, "aiortc", "av", "numpy", "transitions", "pyee")
    told = session.run("python", "-c", VERSIONS, *packages, silent=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    result.write_text(str(told))


for framework in FRAMEWORKS:
    nox.session(name=framework)(lambda session, name=framework: run(session, name))


@nox.session(venv_backend="none")
def versions(session: nox.Session) -> None:
    """Show which versions were run."""
    rows = ["| framework | versions |", "| --- | --- |"]
    missing = []
    for name in FRAMEWORKS:
        result = RESULTS / f"{name}.json"
        if result.exists():
            found = json.loads(result.read_text())
            rows.append(f"| {name} | {', '.join(f'{package} {found[package]}' for package in found)} |")
        else:
            missing.append(name)
    print("\n".join(rows))
    if missing:
        session.error(f"not run: {', '.join(missing)}")
