"""Programs that a release calls: training's and BentoML's commands, scripts/images.sh, what loads an image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bentos.core.errors import ConfigError

__all__ = ["ROOT", "call", "training_answer"]

#: Of the checkout; an installed package has none.
ROOT: Final = Path(__file__).resolve().parents[2]


def call(
    command: Sequence[str],
    *,
    environ: Mapping[str, str | None] | None = None,
    folder: Path | None = None,
    told: bool = True,
) -> str:
    """What a program prints to standard output.

    Parameters
    ----------
    environ
        Put over this process's variables; None takes one away.
    folder
        To run it in; None means this process's.
    told
        Whether its standard error is the caller's, or only shown when it fails.

    Raises
    ------
    ConfigError
        It is not there, or fails.
    """
    variables = {**os.environ, **(environ or {})}
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            command,
            cwd=folder,
            env={name: value for name, value in variables.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=None if told else subprocess.PIPE,
            text=True,
            check=False,
        )
    except OSError as error:
        raise ConfigError(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        last = (((done.stderr or "") + done.stdout).strip().splitlines() or ["its output says why"])[-1]
        raise ConfigError(f"`{' '.join(command[:4])} …` ended with {done.returncode}: {last}")
    return done.stdout


def training_answer(*arguments: str, allowed: Sequence[int] = (0,)) -> Any:
    """What a command of training answers as JSON.

    Parameters
    ----------
    allowed
        Exit codes that come with an answer.

    Raises
    ------
    ConfigError
        It fails; in its own words.
    """
    command = [sys.executable, "-m", "training", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    if done.returncode in allowed:
        return json.loads(done.stdout)
    last = (done.stderr.strip().splitlines() or ["no reason was given"])[-1].removeprefix("error: ")
    if "No module named" in last:
        last = "training is not installed here: install the extras serve, train and k8s"
    raise ConfigError(f"`python -m training {arguments[0]}` failed: {last}")
