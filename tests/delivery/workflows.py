"""Reads GitHub's workflows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tests.fraud.server import ROOT

__all__ = ["FOLDER", "NAMES", "commands", "find_step", "jobs", "read", "schema_files", "scripts", "triggers"]

FOLDER: Final = ROOT / ".github" / "workflows"
NAMES: Final = tuple(sorted(path.name for path in FOLDER.glob("*.yaml")))


def read(name: str) -> dict[str, Any]:
    """A workflow."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return found


def triggers(name: str) -> dict[str, Any]:
    """What starts it, with its inputs and secrets. YAML 1.1 reads ``on`` as true."""
    found: Any = read(name)
    started: dict[str, Any] = found[True]
    return started


def jobs(name: str) -> dict[str, dict[str, Any]]:
    """Its jobs."""
    found: dict[str, dict[str, Any]] = read(name)["jobs"]
    return found


def scripts(name: str) -> Iterator[tuple[str, str]]:
    """Place and text of each script of a workflow."""
    for job, body in jobs(name).items():
        for number, step in enumerate(body.get("steps", [])):
            if "run" in step:
                yield f"{name} {job} {step.get('name', number)}", step["run"]


def commands(name: str, begin: str) -> Iterator[str]:
    """Commands of a workflow's scripts that begin with a word, continued lines joined, pipes and loops taken off."""
    for _, script in scripts(name):
        for line in script.replace("\\\n", " ").splitlines():
            for part in re.split(r"\|\|?|&&|;|<<<|\bthen\b|\bdo\b|(?:^|\s)\d?>", line):
                if part.split()[:1] == [begin]:
                    yield part.strip()


def find_step(name: str, job: str, step: str) -> str:
    """Script of a step."""
    found = [item["run"] for item in jobs(name)[job]["steps"] if item.get("name") == step]
    assert len(found) == 1, f"{name} has {len(found)} steps {step} in {job}"
    return str(found[0])


def schema_files() -> list[Path]:
    """The workflows' files."""
    return [FOLDER / name for name in NAMES]
