"""Programs that judge files of delivery."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.fraud.server import ROOT

__all__ = ["check_schema", "find_program", "recorder", "run", "shell_problems"]

_SECONDS: Final = 300


def find_program(name: str) -> str:
    """Path of a program of Debian; skips the test where it is missing, but not in CI."""
    found = shutil.which(name)
    if found is None:
        message = f"{name} is missing: scripts/install_system_packages.sh test"
        assert "CI" not in os.environ, message
        pytest.skip(message)
    return found


def run(
    *command: str, text: str = "", environ: Mapping[str, str] | None = None, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a command with a text on its standard input."""
    return subprocess.run(
        command,
        input=text,
        env=None if environ is None else dict(environ),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def check_schema(schema: str, *files: Path) -> str:
    """What is wrong with files by a schema that comes with check-jsonschema; empty when nothing is."""
    ended = run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files))
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


def shell_problems(script: str, shell: str = "bash") -> str:
    """What shellcheck says of a script; empty when nothing."""
    return run(find_program("shellcheck"), "--shell", shell, "-", text=script).stdout


def recorder(folder: Path, name: str, body: str = "") -> Path:
    """Put a program into a folder for PATH that notes its arguments, a line each time, in ``NAME.calls`` there.

    Parameters
    ----------
    folder
        Of the program.
    name
        What it stands in for.
    body
        What it does besides, in sh.
    """
    program = folder / name
    calls = folder / f"{name}.calls"
    calls.touch()
    program.write_text(f'#!/bin/sh\necho "$*" >> {calls}\n{body}\n')
    program.chmod(0o755)
    return calls
