"""The matrices: each agent framework, each Python, and the lowest versions, each in an environment of its own.

``make integrations`` runs our adapters' tests in the current release of each framework; ``.venv/bin/nox -s livekit``
runs one. The last thing shown is what was run. ``make compare`` measures our adapters beside the frameworks' own
outputs, in the same environments, and writes the tables of docs/frameworks; ``.venv/bin/nox -s livekit -- compare``
does one.

``make serving`` runs calls on Ray Serve, which is large, in an environment of its own.

``make pythons`` runs the portable tests on each other Python of this machine, and with the lowest versions that
pyproject.toml allows; ``.venv/bin/nox -s python3.13`` or ``-s lowest`` runs one. After ``--`` come arguments of pytest.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import nox
from packaging.requirements import Requirement
from uv import find_uv_bin


def _backend() -> str:
    """What makes the environments: uv, ten times as fast, where it reaches the index (it reads no settings of pip)."""
    os.environ.setdefault("UV_SYSTEM_CERTS", "1")  # as pip does
    resolve = (find_uv_bin(), "pip", "compile", "--quiet", "--no-cache", "-")
    done = subprocess.run(resolve, input="packaging", capture_output=True, text=True, check=False)
    return "uv" if done.returncode == 0 else "virtualenv"


nox.options.default_venv_backend = _backend()
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]


class Framework(NamedTuple):
    """A framework, by the name of the extra for it."""

    example: str
    """Our example for it; it can't have the name of the framework's own module."""
    packages: tuple[str, ...]
    """Whose versions are shown; the framework first."""


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


def run(session: nox.Session, name: str, *, lowest: bool = False) -> None:
    """Install one framework with our extra for it, and run the adapter's tests and its example, or compare."""
    result = RESULTS / f"{name}{'-lowest' if lowest else ''}.json"
    result.unlink(missing_ok=True)
    versions = constrained(session, PROJECT["optional-dependencies"][name]) if lowest else ("--upgrade",)
    session.install("--quiet", *versions, "--editable", f".[{name}]", *TESTING)
    table = ("python", "tests/frameworks/tables.py", name)
    if session.posargs == ["compare"]:
        session.run(*table, "--write")
    else:
        session.run("pytest", "-q", "-c", "tests/frameworks/pytest.ini", "--rootdir", ".", f"tests/frameworks/{name}")
        session.run(*table, "--check")
        session.run("python", f"examples/{FRAMEWORKS[name].example}")
    packages = (*FRAMEWORKS[name].packages, "aiortc", "av", "numpy", "transitions", "pyee")
    found = session.run("python", "-c", VERSIONS, *packages, silent=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    result.write_text(str(found))


def constrained(session: nox.Session, requirements: list[str]) -> tuple[str, str]:
    """Options of pip that allow only the lowest versions of what is required."""
    file = Path(session.virtualenv.location) / "lowest.txt"
    file.write_text("".join(f"{_lowest(Requirement(text))}\n" for text in requirements))
    return "--constraint", str(file.resolve())


def _lowest(requirement: Requirement) -> str:
    bounds = [each.version for each in requirement.specifier if each.operator == ">="]
    if len(bounds) != 1:
        raise ValueError(f"pyproject.toml has {requirement}, expected one lower bound with >=")
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}=={bounds[0]}{marker}"


for framework in FRAMEWORKS:
    nox.session(name=framework)(lambda session, name=framework: run(session, name))
    lowest_of = nox.session(name=f"{framework}-lowest", tags=["nightly"], default=False)
    lowest_of(lambda session, name=framework: run(session, name, lowest=True))


@nox.session(venv_backend="none", default=False)
def integrations(session: nox.Session) -> None:
    """Run all frameworks, and show which versions were run."""
    at_once(session, [*FRAMEWORKS])
    session.notify("versions")


@nox.session(default=False)
def serving(session: nox.Session) -> None:
    """Run calls on Ray Serve: real peers and Chromium, processes of this machine, SERVING_CALLS calls in a row."""
    testing = ("httpx>=0.28", "playwright>=1.50", "psutil>=6", *TESTING)
    session.install("--quiet", "--editable", ".[serve]", *testing)
    tests = ("-c", "tests/frameworks/pytest.ini", "--rootdir", ".", "tests/frameworks/serving")
    session.run("pytest", "-q", "-W", "ignore", *tests, *session.posargs)


PYTHONS = ("3.11", "3.12", "3.13", "3.14")
LIBRARIES = ("aiortc", "av", "numpy", "transitions", "pyee")


def interpreter(version: str) -> str | None:
    """A Python of this version: on the path, or else among those of pyenv."""
    paths = [shutil.which(f"python{version}", path=folder) for folder in os.get_exec_path()]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    releases = [
        (int(release[1]), folder / "bin" / "python")
        for folder in (pyenv.iterdir() if pyenv.is_dir() else ())
        if (release := re.fullmatch(rf"{re.escape(version)}\.(\d+)", folder.name))
    ]
    paths += [str(path) for _, path in sorted(releases, reverse=True)]
    return next((path for path in paths if path and _is(path, version)), None)


def _is(path: str, version: str) -> bool:
    """Whether an interpreter runs: pyenv puts a file on the path for each version, also for those that are off."""
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([path, "-c", script], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == version


FOUND = {version: path for version in PYTHONS if (path := interpreter(version))}


def portable(session: nox.Session, *options: str) -> None:
    """Run the portable tests in an environment that has only what these need."""
    session.install("--quiet", *options, "--editable", ".[demo]", "--group", "portable")
    # By name, because to collect all files would need all that the others import.
    files = sorted(str(file) for file in Path("tests").rglob("test_*.py") if "pytest.mark.portable" in file.read_text())
    tests = ("-m", "portable", *files)
    session.run("python", "-m", "pytest", "-q", "-p", "tests.touched", *tests, *session.posargs)
    found = json.loads(str(session.run("python", "-c", VERSIONS, *LIBRARIES, silent=True)))
    python = str(session.run("python", "-c", "import platform; print(platform.python_version())", silent=True)).strip()
    session.log(f"passed: Python {python}, {', '.join(f'{name} {found[name]}' for name in found)}")


def suite(session: nox.Session) -> None:
    """Run all tests."""
    session.install("--quiet", "--editable", ".[demo]", "--group", "dev")
    session.run("python", "-m", "pytest", "-q", *session.posargs)


for number, path in FOUND.items():
    nox.session(name=f"python{number}", python=path, default=False)(portable)
    nox.session(name=f"suite{number}", python=path, default=False, tags=["nightly"])(suite)


@nox.session(python=[*FOUND.values()][-1] if FOUND else None, default=False)
def native(session: nox.Session) -> None:
    """Run the tests of native calls on the newest Python: libdatachannel-py has wheels from 3.12 on."""
    session.install("--quiet", "--editable", ".[demo,native]", "--group", "portable", "playwright>=1.50")
    session.run("python", "-m", "pytest", "-q", "tests/native", *session.posargs)


@nox.session(python=next(iter(FOUND.values()), None), default=False)
def lowest(session: nox.Session) -> None:
    """Run the portable tests with the lowest versions, on the oldest Python, for which these have wheels."""
    extras = PROJECT["optional-dependencies"]
    portable(session, *constrained(session, [*PROJECT["dependencies"], *extras["demo"], *extras["vad"]]))


@nox.session(venv_backend="none", default=False)
def pythons(session: nox.Session) -> None:
    """Run the portable tests on each other Python that is found, then with the lowest versions."""
    own = "{}.{}".format(*sys.version_info)
    others = []
    for number in PYTHONS:
        if number in FOUND and number != own:
            others.append(f"python{number}")
        else:
            session.log(f"Python {number}: {'make test runs on it' if number == own else 'not found'}")
    at_once(session, [*others, "lowest"])


def at_once(session: nox.Session, names: list[str]) -> None:
    """Run sessions side by side, and show what each printed when it is over.

    Most of their time goes into waiting, for audio that plays in real time and for packages: three take little longer
    than one. What is measured must not run like this.
    """

    def run(name: str) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, "-m", "nox", "--session", name, "--", *session.posargs)
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    failed = []
    with ThreadPoolExecutor(len(names)) as threads:
        for name, done in zip(names, threads.map(run, names), strict=True):
            print(done.stdout, flush=True)
            if done.returncode:
                failed.append(name)
    if failed:
        session.error(f"failed: {', '.join(failed)}")


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
