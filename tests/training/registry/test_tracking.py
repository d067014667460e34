from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from bentos.core.errors import DataError, RegistryError
from bentos.core.registered import MODEL_NAME
from bentos.core.settings import TrainingSettings
from tests.training.registry.standins import train_and_record
from training.registry.client import connect
from training.registry.lineage import cluster_tags, code_version, is_alive, process_tags
from training.registry.tracking import sweep, training_run
from training.registry.versions import list_versions

ROOT = Path(__file__).resolve().parents[3]

#: Reserves a version, says so, and waits to be killed.
_TRAINING = """
import sys, time
from pathlib import Path
from bentos.core.settings import TrainingSettings
from training.registry.tracking import training_run
with training_run(TrainingSettings(home=Path(sys.argv[1]), MLFLOW_TRACKING_URI=None), name="slow") as run:
    run.reserve_version()
    print(run.run_id, flush=True)
    time.sleep(120)
"""


def _status(settings: TrainingSettings, run_id: str) -> str:
    return str(connect(settings).client.get_run(run_id).info.status)


def _all_versions(settings: TrainingSettings) -> list[object]:
    return list(connect(settings).client.search_model_versions(f"name = '{MODEL_NAME}'"))


@pytest.mark.parametrize(
    ("error", "status"),
    [(DataError("no frauds"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(3), "KILLED")],
)
def test_an_interrupted_training_leaves_a_closed_run_and_no_version(
    settings: TrainingSettings, error: BaseException, status: str
) -> None:
    seen: list[str] = []

    def train() -> None:
        with training_run(settings, name="broken") as run:
            seen.append(run.run_id)
            run.reserve_version()
            raise error

    with pytest.raises(type(error)):
        train()
    assert _status(settings, seen[0]) == status
    assert _all_versions(settings) == []
    reason = connect(settings).client.get_run(seen[0]).data.tags["fraud.error"]
    assert type(error).__name__ in reason


def test_a_version_that_was_reserved_must_be_recorded(settings: TrainingSettings) -> None:
    with pytest.raises(RegistryError, match="ended without record_training"), training_run(settings, name="x") as run:
        run.reserve_version()
    assert _all_versions(settings) == []


def test_a_run_without_a_version_may_finish(settings: TrainingSettings) -> None:
    with training_run(settings, name="only measured", tags={"purpose": "test"}) as run:
        run.tag({"more": "words"})
    assert _status(settings, run.run_id) == "FINISHED"
    assert connect(settings).client.get_run(run.run_id).data.tags["more"] == "words"


def _start(settings: TrainingSettings) -> tuple[subprocess.Popen[str], str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [sys.executable, "-c", _TRAINING, str(settings.home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_sigterm_closes_the_run(settings: TrainingSettings) -> None:
    process, run_id = _start(settings)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert _status(settings, run_id) == "KILLED"
    assert _all_versions(settings) == []


def test_what_a_killed_process_left_is_tidied_up_by_the_next_training(settings: TrainingSettings) -> None:
    process, run_id = _start(settings)
    process.kill()
    process.communicate(timeout=60)
    assert _status(settings, run_id) == "RUNNING"
    assert len(_all_versions(settings)) == 1
    assert list_versions(connect(settings)) == []  # reserved is not registered
    with training_run(settings, name="next") as run:
        assert _status(settings, run_id) == "KILLED"
        assert _all_versions(settings) == []
        assert sweep(run.connection) == []  # this one lives


def test_concurrent_trainings_get_versions_of_their_own(
    settings: TrainingSettings, table: pd.DataFrame, tmp_path: Path
) -> None:
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda folder: train_and_record(settings, table, folder), folders))
    assert sorted(item.version for item in found) == ["1", "2", "3", "4"]
    versions = list_versions(connect(settings))
    assert {item.number: item.run_id for item in versions} == {item.version: item.run_id for item in found}
    assert sum("challenger" in item.aliases for item in versions) == 1


def test_a_process_number_that_was_given_out_again_is_not_the_training() -> None:
    tags = process_tags()
    assert is_alive(tags)
    assert not is_alive(tags | {"fraud.process_started": "1"})
    assert is_alive(tags | {"fraud.host": "elsewhere", "fraud.pid": "1"})


def test_an_earlier_pod_of_the_same_job_has_ended() -> None:
    def pod(name: str, job: str = "train-1", namespace: str = "fraud") -> dict[str, str]:
        place = {"kubernetes_job": job, "kubernetes_namespace": namespace, "kubernetes_pod": name}
        return cluster_tags(TrainingSettings(**place, kubernetes_image="workers:1"))

    own, elsewhere = pod("train-1-b"), {"fraud.host": "elsewhere", "fraud.pid": "1"}
    assert not is_alive(elsewhere | pod("train-1-a"), own)
    assert is_alive(elsewhere | own, own)
    assert is_alive(elsewhere | pod("train-1-a", job="train-2"), own)
    assert is_alive(elsewhere | pod("train-1-a", namespace="other"), own)
    assert cluster_tags(TrainingSettings()) == {}


def test_the_next_pod_of_a_job_closes_the_run_of_the_killed_one(settings: TrainingSettings) -> None:
    def pod(name: str) -> TrainingSettings:
        return settings.model_copy(update={"kubernetes_job": "train-1", "kubernetes_pod": name})

    process, run_id = _start(settings)
    process.kill()
    process.communicate(timeout=60)
    client = connect(settings).client
    for key, value in {**cluster_tags(pod("a")), "fraud.host": "elsewhere"}.items():
        client.set_tag(run_id, key, value)
    with training_run(settings, name="of another job"):
        assert _status(settings, run_id) == "RUNNING"
    with training_run(pod("b"), name="next") as run:
        assert _status(settings, run_id) == "KILLED"
        assert client.get_run(run.run_id).data.tags["fraud.kubernetes_pod"] == "b"


def test_the_commit_is_that_of_the_code(tmp_path: Path) -> None:
    assert code_version(tmp_path).commit == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    clean = code_version(tmp_path)
    assert re.fullmatch("[0-9a-f]{40}", clean.commit)
    assert clean.dirty is False
    (tmp_path / "new.py").write_text("")
    assert code_version(tmp_path).dirty is True
