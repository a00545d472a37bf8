"""The workflows: pinned, with no more rights than they use, and over files that are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w./-]+@(?:v\d+|release/v\d+|[0-9a-f]{40})")


def load(path: Path) -> dict[Any, Any]:
    content = yaml.safe_load(path.read_text())
    assert isinstance(content, dict)
    return content


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_are_two() -> None:
    assert [path.name for path in WORKFLOWS] == ["release.yml", "test.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned(path: Path) -> None:
    used = [step["uses"] for step in steps(load(path)) if "uses" in step]
    assert used
    assert [action for action in used if not PINNED.fullmatch(action)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_only_the_job_that_publishes_may_do_more_than_read(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    more = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert more == (
        {"release": {"id-token": "write", "attestations": "write"}} if path.name == "release.yml" else {}
    )
    assert "secrets." not in path.read_text()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_is_run_is_there(path: Path) -> None:
    text = "\n".join(step["run"] for step in steps(load(path)) if "run" in step)
    for name in re.findall(r"(?:\.ci|packaging|tests)/[\w./-]*\w", text):
        assert (ROOT / name).exists(), name
    targets = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"\bmake (\w+)", text)) <= set(targets)


def test_every_platform_that_is_promised_has_a_wheel() -> None:
    jobs = load(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    built = {
        (row.get("platform", "manylinux"), row["target"])
        for job in ("linux", "wheels")
        for row in jobs[job]["strategy"]["matrix"]["include"]
    }
    assert built == {
        *(
            (platform, target)
            for platform in ("manylinux", "musllinux", "macos", "free-threaded")
            for target in ("x86_64", "aarch64")
        ),
        ("windows", "x64"),
        ("windows", "aarch64"),
    }
    assert jobs["release"]["needs"] == ["linux", "wheels"]
