"""Searches that end, go on, are killed, and are shared: with real processes on a real file."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from bentos.core.errors import ConfigError, DataError
from bentos.core.features import FEATURE_SCHEMA
from tests.training.tune.data import identity_of, objective, plan
from training.models.space import Choice
from training.tune.objective import defaults
from training.tune.picture import draw_history
from training.tune.search import finished_trials, is_surplus, make_sampler, result_of, run_search
from training.tune.storage import open_storage

COMPLETE, PRUNED, FAIL, RUNNING = (
    optuna.trial.TrialState.COMPLETE,
    optuna.trial.TrialState.PRUNED,
    optuna.trial.TrialState.FAIL,
    optuna.trial.TrialState.RUNNING,
)

#: A process that searches with a forest large enough to be killed in the middle of a trial.
PROCESS = """
import sys
from pathlib import Path
from tests.training.tune.data import objective, plan
from training.tune.search import run_search
made = objective(trees=int(sys.argv[3]))
say = lambda trials: print(len(trials), flush=True)
run_search(plan(Path(sys.argv[1]), made, int(sys.argv[2])), made, worker=int(sys.argv[4]), watch=say)
"""


def process(folder: Path, trials: int, trees: int, worker: int = 0) -> subprocess.Popen[str]:
    arguments = [str(folder), str(trials), str(trees), str(worker)]
    return subprocess.Popen([sys.executable, "-c", PROCESS, *arguments], stdout=subprocess.PIPE, text=True)


def trials_of(folder: Path) -> list[optuna.trial.FrozenTrial]:
    storage = open_storage(f"sqlite:///{folder / 'tune.db'}")
    try:
        return optuna.load_study(study_name="study", storage=storage).get_trials()
    finally:
        storage.engine.dispose()


def test_trials_are_counted_over_restarts_and_the_first_is_the_default(tmp_path: Path) -> None:
    made = objective()
    assert finished_trials(run_search(plan(tmp_path, made, 3), made).get_trials()) == 3
    first = trials_of(tmp_path)
    assert first[0].params == defaults(made.config, made.space)
    study = run_search(plan(tmp_path, made, 8), made)
    trials = study.get_trials()
    assert finished_trials(trials) == len(trials) == 8
    assert [trial.params for trial in trials[:3]] == [trial.params for trial in first]
    assert len({str(trial.params) for trial in trials}) > 5
    assert len(run_search(plan(tmp_path, made, 5), made).get_trials()) == 8
    result = result_of(study, made)
    assert result.best_value == max(trial.value for trial in trials if trial.state == COMPLETE and trial.value)
    assert result.default_value == trials[0].value
    assert result.best_value >= trials[0].value
    own = {path: value for path, value in study.best_trial.params.items() if path.startswith("parameters")}
    assert result.best.parameters == made.config.parameters | {
        path.removeprefix("parameters."): value for path, value in own.items()
    }


def test_the_same_seed_searches_the_same(tmp_path: Path) -> None:
    made = objective()
    found = []
    for name in ("one", "two"):
        trials = run_search(plan(tmp_path / name, made, 7), made).get_trials()
        found.append([(trial.params, trial.value, trial.state) for trial in trials])
    assert found[0] == found[1]
    other = replace(made, seed=1)
    trials = run_search(plan(tmp_path / "three", other, 7), other).get_trials()
    assert [trial.params for trial in trials] != [params for params, _, _ in found[0]]


def test_bad_trials_are_pruned_between_folds(tmp_path: Path) -> None:
    made = objective()
    trials = run_search(plan(tmp_path, made, 16), made).get_trials()
    pruned = [trial for trial in trials if trial.state == PRUNED]
    assert pruned
    assert all(0 < len(trial.intermediate_values) < len(made.folds) for trial in pruned)
    picture = draw_history(result_of(run_search(plan(tmp_path, made, 16), made), made), tmp_path / "history.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_killed_search_resumes_and_tries_the_lost_trial_again(tmp_path: Path) -> None:
    running = process(tmp_path, 50, trees=400)
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == "1\n"
        time.sleep(0.5)  # into the second trial
    finally:
        running.send_signal(signal.SIGKILL)
        running.communicate()
    (lost,) = [trial for trial in trials_of(tmp_path) if trial.state == RUNNING]
    done = finished_trials(trials_of(tmp_path))

    made = objective(trees=400)
    study = run_search(plan(tmp_path, made, done + 2), made)
    trials = study.get_trials()
    assert finished_trials(trials) == done + 2
    assert trials[lost.number].state == FAIL
    again = [trial for trial in trials if trial.system_attrs.get("failed_trial") == lost.number]
    assert len(again) == 1
    assert again[0].state in (COMPLETE, PRUNED)
    assert {**again[0].params, **lost.params} == again[0].params


@pytest.mark.slow
def test_several_processes_work_on_one_study_and_one_of_them_may_die(tmp_path: Path) -> None:
    workers = [process(tmp_path, 9, trees=60, worker=number) for number in range(3)]
    try:
        assert workers[2].stdout is not None
        workers[2].stdout.readline()
        workers[2].send_signal(signal.SIGKILL)
        codes = [worker.wait(timeout=120) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert codes == [0, 0, -signal.SIGKILL]
    trials = trials_of(tmp_path)
    finished = [trial for trial in trials if trial.state in (COMPLETE, PRUNED)]
    assert len(finished) == 9
    assert not [trial for trial in trials if trial.state == RUNNING]


def test_processes_draw_other_values_than_each_other() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def drawn(worker: int) -> float:
        return float(optuna.create_study(sampler=make_sampler(7, worker, 0, 0)).ask().suggest_float("x", 0, 1))

    assert drawn(0) == drawn(0)
    assert len({drawn(worker) for worker in range(8)}) == 8


def test_a_trial_queued_again_counts_before_it_runs() -> None:
    """A dead process's trial is queued again; of two that wait for it, one takes it and the other began a new one."""
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage)
    for _ in range(2):
        study.tell(study.ask(), 0.5)
    study.enqueue_trial({"x": 1})
    # As between another's look for what waits and its new trial.
    new = storage.get_trial(storage.create_new_trial(storage.get_study_id_from_name(study.study_name)))
    assert is_surplus(study.get_trials(), new.number, 3)
    queued = study.ask()
    assert queued.number < new.number
    assert not is_surplus(study.get_trials(), queued.number, 3)
    assert not is_surplus(study.get_trials(), new.number, 4)


def test_ctrl_c_queues_the_trial_again(tmp_path: Path) -> None:
    running = process(tmp_path, 50, trees=400)
    assert running.stdout is not None
    assert running.stdout.readline() == "1\n"
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    trials = trials_of(tmp_path)
    stopped = [trial for trial in trials if trial.state == FAIL]
    waiting = [trial for trial in trials if trial.state == optuna.trial.TrialState.WAITING]
    assert [trial.user_attrs["again"] for trial in waiting] == [trial.number for trial in stopped]
    assert len(stopped) == 1


@pytest.mark.parametrize("what", ["data", "features", "space", "model", "folds", "seed"])
def test_a_study_of_something_else_is_refused(what: str, tmp_path: Path) -> None:
    made = objective()
    run_search(plan(tmp_path, made, 1), made)
    other = {
        "data": identity_of(made, data="other"),
        "features": identity_of(made, schema=FEATURE_SCHEMA[::-1]),
        "space": identity_of(replace(made, space={**made.space, "parameters.criterion": Choice(("gini",))})),
        "model": identity_of(objective(trees=6)),
        "folds": identity_of(replace(made, folds=made.folds[:1])),
        "seed": identity_of(replace(made, seed=1)),
    }[what]
    with pytest.raises(ConfigError, match=rf"made for something else \({what} .* there, .* here\)"):
        run_search(replace(plan(tmp_path, made, 2), identity=other), made)
    assert other.name("m") != identity_of(made).name("m")


def test_a_study_without_a_complete_trial_has_no_result(tmp_path: Path) -> None:
    made = objective()
    study = optuna.create_study()
    with pytest.raises(DataError, match="no trial of the study"):
        result_of(study, made)
    assert tmp_path.exists()


@pytest.mark.parametrize(
    "url", ["nonsense", "nosuchdb://x/y", "sqlite:////proc/no/such/tune.db", "postgresql://user:secret@127.0.0.1:1/x"]
)
def test_storages_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "tune.db").write_text("hello, this is no database at all, but it is long enough to be read as one")
    with pytest.raises(ConfigError, match="cannot be used"):
        open_storage(f"sqlite:///{tmp_path / 'tune.db'}")
