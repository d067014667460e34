"""What the server says of itself."""

from __future__ import annotations

import tomllib
from pathlib import Path

from bentos.fraud.inference.protocol import SERVER

PROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_the_servers_version_is_the_projects() -> None:
    assert tomllib.loads(PROJECT.read_text())["project"]["version"] == SERVER.version
