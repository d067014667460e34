"""Run a search: trials until enough are finished, over restarts and over processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import optuna

from bentos.core.errors import ConfigError, DataError
from training.models.config import ModelConfig, with_values
from training.models.space import Value
from training.tune.identity import StudyIdentity
from training.tune.objective import Objective, defaults
from training.tune.storage import GRACE_SECONDS, HEARTBEAT_SECONDS, fail_stale_trials, open_storage, open_study

__all__ = [
    "SearchPlan",
    "SearchResult",
    "Watcher",
    "best_config",
    "finished_trials",
    "is_surplus",
    "make_sampler",
    "result_of",
    "run_search",
]

_FINISHED: Final = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
_UNDER_WAY: Final = (*_FINISHED, optuna.trial.TrialState.RUNNING)
_POLL_SECONDS: Final = 0.5
#: Trials drawn at random before TPE has enough to go by.
_STARTUP_TRIALS: Final = 5

#: Called after every trial with all trials of the study.
Watcher = Callable[[Sequence[optuna.trial.FrozenTrial]], None]


@dataclass(frozen=True)
class SearchPlan:
    """What every process of a search shares.

    Parameters
    ----------
    storage
        URL.
    study
        Name.
    identity
        What the study must have been made for.
    trials
        Finished trials, complete or pruned, that the study is to reach, those of earlier runs included.
    heartbeat_seconds, grace_seconds
        Time between signs of life, and without one until a trial counts as dead.
    """

    storage: str
    study: str
    identity: StudyIdentity
    trials: int
    heartbeat_seconds: int = HEARTBEAT_SECONDS
    grace_seconds: int = GRACE_SECONDS


@dataclass(frozen=True)
class SearchResult:
    """What a search found so far.

    Parameters
    ----------
    study
        Name.
    trials
        All of them.
    default_value
        Mean average precision of the configuration that was started from, None when that trial is not complete.
    best_value
        The highest.
    best
        The configuration that reached it.
    """

    study: str
    trials: tuple[optuna.trial.FrozenTrial, ...]
    default_value: float | None
    best_value: float
    best: ModelConfig


def run_search(
    plan: SearchPlan,
    objective: Objective,
    *,
    worker: int = 0,
    watch: Watcher | None = None,
    alive: Callable[[], bool] = lambda: True,
) -> optuna.Study:
    """Work on a study until it has enough finished trials.

    Any number of processes may do so at once. When all trials that are needed are running elsewhere, this one waits,
    and takes over what a killed process leaves.

    Parameters
    ----------
    worker
        Number of this process; it draws other parameters than the others do.
    watch
        Told after every trial.
    alive
        Asked between trials; the search ends when it says no.

    Raises
    ------
    ConfigError
        When the study was made for something else.
    DataError
        When no trial can be finished.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = open_storage(plan.storage, heartbeat_seconds=plan.heartbeat_seconds, grace_seconds=plan.grace_seconds)
    study = open_study(storage, plan.study, plan.identity, sampler=make_sampler(objective.seed), pruner=_pruner())
    known = study.get_trials(deepcopy=False)
    # Others may have begun; what is there already is not asked for twice.
    if worker == 0 and finished_trials(known) < plan.trials:
        study.enqueue_trial(defaults(objective.config, objective.space), skip_if_exists=True)
    # A resumed search goes on drawing, and processes that search at the same time do not draw the same.
    company = os.getpid() if any(not trial.state.is_finished() for trial in known) else 0
    study.sampler = make_sampler(objective.seed, worker, len(known), company)
    while alive():
        fail_stale_trials(study)
        trials = study.get_trials(deepcopy=False)
        done = finished_trials(trials)
        if done >= plan.trials:
            break
        if sum(trial.state in _UNDER_WAY for trial in trials) >= plan.trials:
            time.sleep(_POLL_SECONDS)
            continue
        _one_trial(study, objective, plan.trials)
        if watch is not None:
            watch(study.get_trials(deepcopy=False))
    storage.remove_session()
    return study


def _one_trial(study: optuna.Study, objective: Objective, limit: int) -> None:
    def run(trial: optuna.Trial) -> float:
        if is_surplus(study.get_trials(deepcopy=False), trial.number, limit):
            trial.set_user_attr("surplus", True)
            raise _SurplusError
        try:
            return objective(trial)
        except KeyboardInterrupt:
            study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
            raise

    study.optimize(run, n_trials=1, catch=(_SurplusError,))


class _SurplusError(Exception):
    """More trials run than are needed."""


def is_surplus(trials: Sequence[optuna.trial.FrozenTrial], number: int, limit: int) -> bool:
    """Whether other processes began enough trials at the same moment as this one.

    What waits counts too, if it came before: when a dead process's trial is queued again, one process may take it
    while another, who looked a moment earlier, begins a new one.
    """
    before = (*_UNDER_WAY, optuna.trial.TrialState.WAITING)
    return sum(item.number < number and item.state in before for item in trials) >= limit


def finished_trials(trials: Sequence[optuna.trial.FrozenTrial]) -> int:
    """Trials that are complete or pruned."""
    return sum(trial.state in _FINISHED for trial in trials)


def result_of(study: optuna.Study, objective: Objective) -> SearchResult:
    """What a study knows.

    Raises
    ------
    DataError
        When no trial is complete.
    """
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE and trial.values]
    if not complete:
        raise DataError(f"no trial of the study {study.study_name!r} is complete; run more with --trials")
    best = max(complete, key=lambda trial: (trial.values[0], -trial.number))
    own = defaults(objective.config, objective.space)
    first = next((trial.values[0] for trial in complete if trial.params == own), None)
    return SearchResult(study.study_name, tuple(trials), first, best.values[0], best_config(objective, best))


def best_config(objective: Objective, trial: optuna.trial.FrozenTrial) -> ModelConfig:
    """The configuration of a trial."""
    values: dict[str, Value] = dict(trial.params)
    missing = set(objective.space) - set(values)
    if missing:
        raise ConfigError(f"trial {trial.number} has no value for {', '.join(sorted(missing))}; use another study")
    return with_values(objective.config, values)


def make_sampler(*seeds: int) -> optuna.samplers.TPESampler:
    """Draws what no sampler of other seeds draws."""
    return optuna.samplers.TPESampler(
        seed=int(np.random.SeedSequence(seeds).generate_state(1)[0]),
        n_startup_trials=_STARTUP_TRIALS,
        multivariate=True,
        constant_liar=True,
    )


def _pruner() -> optuna.pruners.MedianPruner:
    return optuna.pruners.MedianPruner(n_startup_trials=_STARTUP_TRIALS, n_warmup_steps=0)
