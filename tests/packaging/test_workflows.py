"""What runs elsewhere runs the same: workflows, hooks and CI call targets of the Makefile, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from mkdocs.utils.yaml import yaml_load

ROOT: Final = Path(__file__).parents[2]
GITHUB: Final = ROOT / ".github"
WORKFLOWS: Final = sorted((GITHUB / "workflows").glob("*.yml"))
CI: Final = set(re.findall(r"^(?:setsid )?make ([\w-]+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE))
TARGETS: Final = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
SCHEMAS: Final = {
    "vendor.github-workflows": WORKFLOWS,
    "vendor.github-issue-forms": [GITHUB / "ISSUE_TEMPLATE" / name for name in ("bug.yml", "feature.yml")],
    "vendor.github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "vendor.dependabot": [GITHUB / "dependabot.yml"],
}


def load(path: Path) -> Any:
    """The content of a YAML file. As in YAML 1.1, the key `on` is True."""
    with path.open() as file:
        return yaml_load(file)


def commands(workflow: dict[str, Any]) -> Iterator[str]:
    """The commands of a workflow, one for each value of the job's matrix."""
    for job in workflow["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        for step in job["steps"]:
            lines = [step["run"]] if "run" in step else []
            for name, values in matrix.items():
                variable = f"${{{{ matrix.{name} }}}}"
                lines = [line.replace(variable, value) for line in lines for value in values]
            yield from dict.fromkeys(lines)


def target(command: str) -> str:
    """The one target that a command makes.

    Raises:
        ValueError: it does something else.
    """
    call = re.fullmatch(r"make ([\w-]+)((?: [A-Z]+=\S+)*)\s*", command)
    if call is None:
        raise ValueError(f"the command is {command!r}, expected one `make TARGET`, with variables at most")
    return call[1]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_only_targets_that_ci_runs(workflow: Path) -> None:
    made = {target(command) for command in commands(load(workflow))}
    assert made
    assert made <= CI & TARGETS


def test_all_that_ci_runs_is_in_a_workflow() -> None:
    made = {target(command) for workflow in WORKFLOWS for command in commands(load(workflow))}
    assert CI - made == {"demo"}  # it does not end by itself


def test_the_tests_run_on_every_python_that_the_classifiers_name() -> None:
    classified = re.findall(r'":?Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    tests = {command for command in commands(load(GITHUB / "workflows" / "test.yml")) if target(command) == "test"}
    assert tests == {f"make test PYTHON=python{number}" for number in classified}


@pytest.mark.parametrize("command", ["pip install .", "make test && pip list", "make test site", "make", "MAKE test"])
def test_another_command_is_found(command: str) -> None:
    with pytest.raises(ValueError, match="expected one `make TARGET`"):
        target(command)


def test_a_release_is_built_and_checked_before_it_is_published_without_a_token() -> None:
    jobs = load(GITHUB / "workflows" / "release.yml")["jobs"]
    assert [step["run"] for step in jobs["build"]["steps"] if "run" in step] == ["make dist TAG=$GITHUB_REF_NAME"]
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert not any("run" in step for step in jobs["publish"]["steps"])
    assert "secrets." not in (GITHUB / "workflows" / "release.yml").read_text()


def test_a_hook_runs_what_lint_runs() -> None:
    (repository,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == ["make lint"]


def test_a_tag_without_its_version_is_not_released(tmp_path: Path) -> None:
    """With the real script, in a copy that builds nothing: the distributions are there already."""
    for name in (".ci", "bin", "dist"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / ".ci" / "dist", tmp_path / ".ci")
    python = tmp_path / "bin" / "python"
    built = " ".join(f"dist/voice_playback-1.2.3{end}" for end in ("-py3-none-any.whl", ".tar.gz"))
    python.write_text(f"#!/bin/sh\nmkdir -p dist; touch {built}\n")
    python.chmod(0o755)
    changelog = tmp_path / "CHANGELOG.md"

    def release(tag: str) -> str:
        command = [str(tmp_path / ".ci" / "dist"), "bin", "false", tag]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stderr

    changelog.write_text("## 1.2.3 - not released yet\n")
    assert "the tag is v1.2.4, but dist/voice_playback-1.2.3.tar.gz was built" in release("v1.2.4")
    assert "CHANGELOG.md has no heading '## 1.2.3 - YYYY-MM-DD'" in release("v1.2.3")
    changelog.write_text("## 1.2.3 - 2030-01-31\n")
    assert "CHANGELOG.md" not in release("v1.2.3")


@pytest.mark.parametrize("schema", SCHEMAS)
def test_what_the_host_reads_is_of_its_schema(schema: str) -> None:
    files = [str(path) for path in SCHEMAS[schema]]
    assert files
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
