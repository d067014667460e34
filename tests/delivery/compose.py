"""Reads the Compose file as Compose does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.fraud.server import ROOT

__all__ = ["FILE", "FOLDER", "SERVICES", "bind_mounts", "environment_of", "example", "read", "variables"]

FOLDER: Final = ROOT / "compose"
FILE: Final = FOLDER / "compose.yaml"
_VARIABLE: Final = re.compile(r"(?<!\$)\$\{(\w+)(?::\?[^}]*)?\}")


def variables() -> set[str]:
    """Names that are filled in."""
    return set(_VARIABLE.findall(FILE.read_text()))


def example() -> dict[str, str]:
    """Settings of .env.example."""
    lines = (FOLDER / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def read(settings: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file with settings filled in, by default those of .env.example."""
    values = example() if settings is None else settings
    text = _VARIABLE.sub(lambda found: values[found[1]], FILE.read_text())
    document: dict[str, Any] = yaml.safe_load(text.replace("$$", "$"))
    return document


def environment_of(service: str) -> dict[str, str]:
    """Variables that a service sets."""
    found: dict[str, str] = read()["services"][service].get("environment", {})
    return found


SERVICES: Final = tuple(read()["services"])


def bind_mounts(service: Mapping[str, Any]) -> list[tuple[Path, str, str]]:
    """File beside compose.yaml, place in the container and mode of each."""
    mounts = [mount.split(":") for mount in service.get("volumes", []) if mount.startswith("./")]
    return [(FOLDER / source, place, mode) for source, place, mode in mounts]
