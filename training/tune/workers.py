"""Processes that work on one study beside the command that started them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bentos.core.errors import FraudError
from training.models.config import ModelConfig
from training.models.space import Space
from training.tune.objective import Objective, tuning_folds
from training.tune.search import SearchPlan, run_search

__all__ = ["Task", "helpers", "make_objective"]

_JOIN_SECONDS = 10.0


@dataclass(frozen=True)
class Task:
    """What a process needs to make the objective for itself.

    Parameters
    ----------
    features
        Path of the feature table.
    fraction
        Share of the rows, the latest, that the search does not see.
    folds
        At most.
    """

    features: Path
    config: ModelConfig
    space: Space
    fraction: float
    folds: int
    seed: int


def make_objective(task: Task) -> Objective:
    """Read the table and cut the folds."""
    from training.features_file import read_features

    table = read_features(task.features)
    folds = tuning_folds(table, fraction=task.fraction, folds=task.folds)
    return Objective.of(task.config, task.space, table, folds, task.seed)


@contextlib.contextmanager
def helpers(plan: SearchPlan, task: Task, count: int) -> Iterator[None]:
    """Run ``count`` more processes on the study for the length of the block; an error in it ends them."""
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_work, args=(plan, task, number, os.getpid()), daemon=True)
        for number in range(1, count + 1)
    ]
    for process in processes:
        process.start()
    try:
        yield
        for process in processes:
            process.join()
    except BaseException:
        # Ctrl-C reached them as well; they queue their trial again before they go.
        for process in processes:
            process.join(_JOIN_SECONDS)
            if process.is_alive():
                process.terminate()
        raise


def _work(plan: SearchPlan, task: Task, number: int, parent: int) -> None:
    try:
        # An orphan stops after its trial: whoever started it was killed.
        run_search(plan, make_objective(task), worker=number, alive=lambda: os.getppid() == parent)
    except FraudError as error:
        sys.stderr.write(f"process {number} of the search stopped: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
