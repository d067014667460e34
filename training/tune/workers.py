"""Processes that work on one study beside the command that started them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bentos.core.errors import FraudError
from training.models.config import ModelConfig
from training.models.space import Space
from training.tune.objective import Objective, tuning_folds
from training.tune.search import SearchPlan, run_search

__all__ = ["Task", "helpers", "interrupt_helpers", "make_objective"]

_JOIN_SECONDS = 10.0


@dataclass(frozen=True)
class Task:
    """What a process needs to make the objective for itself.

    Parameters
    ----------
    features
        Path or URL of the feature table, or of transactions.
    fraction
        Share of the rows, the latest, that the search does not see.
    folds
        At most.
    """

    features: str
    config: ModelConfig
    space: Space
    fraction: float
    folds: int
    seed: int


def make_objective(task: Task) -> Objective:
    """Read the table and cut the folds."""
    from training.features_file import read_or_compute_features

    table, _ = read_or_compute_features(task.features)
    folds = tuning_folds(table, fraction=task.fraction, folds=task.folds)
    return Objective.of(task.config, task.space, table, folds, task.seed)


@contextlib.contextmanager
def helpers(plan: SearchPlan, task: Task, numbers: Sequence[int]) -> Iterator[None]:
    """Run more processes on the study for the length of the block, one a number; an error in it ends them."""
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_work, args=(plan, task, number, os.getpid()), daemon=True) for number in numbers
    ]
    for process in processes:
        process.start()
    try:
        yield
        for process in processes:
            process.join()
    except BaseException:
        # Ctrl-C reached them as well, SIGTERM was handed on; they queue their trial again before they go.
        for process in processes:
            process.join(_JOIN_SECONDS)
            if process.is_alive():
                process.terminate()
        raise


def interrupt_helpers() -> None:
    """End the helpers of this process as Ctrl-C does."""
    for process in multiprocessing.active_children():
        if process.pid is not None:
            os.kill(process.pid, signal.SIGINT)


def _work(plan: SearchPlan, task: Task, number: int, parent: int) -> None:
    try:
        # An orphan stops after its trial: whoever started it was killed.
        run_search(plan, make_objective(task), worker=number, alive=lambda: os.getppid() == parent)
    except FraudError as error:
        sys.stderr.write(f"process {number} of the search stopped: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
