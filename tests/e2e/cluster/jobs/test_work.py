"""Jobs do what the laptop's commands do, shared between pods, and again after a killed one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.cluster.jobs.beside import (
    NAMESPACE,
    QUICK,
    RELEASE,
    TRAIN,
    TRANSACTIONS,
    on_volume,
    pods_of,
    study,
    versions,
)
from tests.e2e.cluster.launches import kill_container, launched, ran
from tests.e2e.cluster.node import Cluster

BULK = ("bulk", "claim://payments/days", "claim://payments/scores", "--namespace", NAMESPACE)


def test_a_training_is_registered_and_names_its_job(cluster: Cluster) -> None:
    code, out, _ = ran(cluster, *TRAIN, "--output", "json", *QUICK)
    told = json.loads(out)
    assert (code, told["status"], told["succeeded"], told["kind"]) == (0, "complete", 1, "train")
    (pod,) = told["pods"]
    (number, tags) = max(versions(cluster).items(), key=lambda item: int(item[0]))
    assert tags["fraud.state"] == "complete", number
    assert tags["fraud.kubernetes_job"] == told["job"]
    assert tags["fraud.kubernetes_pod"] == pod["name"]
    assert tags["fraud.kubernetes_namespace"] == NAMESPACE
    assert tags["fraud.kubernetes_image"] == told["image"]
    assert tags["fraud.snapshot"] == "features.npz"


def test_two_workers_share_a_study_and_one_is_killed(cluster: Cluster) -> None:
    trials = 24
    tune = ("tune", TRANSACTIONS, "--workers", "2", "--namespace", NAMESPACE)
    with launched(cluster, *tune, "--", "--model", "forest", "--trials", str(trials)) as launch:
        name = launch.until(r"study (forest-\w+)")[1]
        job = launch.until(r"Job (fraud-tune-\w+) in")[1]
        launch.until(r"1-\w+ \| \d+/24 trials")
        (pod,) = [pod for pod in pods_of(cluster, job) if _index(pod) == 1]
        kill_container(cluster, pod)
        assert launch.ends() == 0, launch.text
        assert f"pod {pod['metadata']['name']} failed" in launch.text
        assert "registered fraud_detector version" in launch.text
    assert len([pod for pod in pods_of(cluster, job) if _index(pod) == 1]) == 2
    found = study(cluster, name)
    finished = [trial for trial in found if trial["state"] in {"COMPLETE", "PRUNED"}]
    assert len(finished) == trials
    assert {trial["state"] for trial in found} <= {"COMPLETE", "PRUNED", "FAIL"}
    # What the killed one was at is failed, and was tried again once; what was begun beyond the number is neither.
    failed = [trial["number"] for trial in found if trial["state"] == "FAIL" and not trial["surplus"]]
    again = [trial["again"] for trial in finished if trial["again"] is not None]
    assert sorted(failed) == sorted(again)
    assert any(tags.get("fraud.kubernetes_job") == job for tags in versions(cluster).values())


def _index(pod: dict[str, Any]) -> int:
    return int(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"])


def test_bulk_scores_every_share_but_the_broken_one_and_then_that_one_alone(cluster: Cluster) -> None:
    broken = "/data/payments/days/day=2/part.parquet"
    on_volume(cluster, f"import os; os.rename({broken!r}, '/data/payments/kept'); open({broken!r}, 'w').write('no')")
    options = ("--shares", "4", "--parallel", "2", "--retries", "1", "--output", "json")
    code, out, said = ran(cluster, *BULK, *options)
    told = json.loads(out)
    assert (code, told["status"], told["failed_indexes"], told["succeeded"]) == (1, "failed", "2", 3)
    assert sorted(pod["index"] for pod in told["pods"]) == [0, 1, 2, 2, 3]
    assert "day=2/part.parquet: failed: " in said
    assert "shares 2" in told["reason"]

    on_volume(cluster, f"import os; os.replace('/data/payments/kept', {broken!r})")
    code, out, said = ran(cluster, *BULK, *options)
    assert (code, json.loads(out)["status"]) == (0, "complete"), said
    assert said.count("1 files, 1 of them done before") == 3
    assert "1/1 day=2/part.parquet: 500 rows, 0 with an error" in said
    rows = on_volume(
        cluster,
        "import pyarrow.parquet as pq; t = pq.read_table('/data/payments/scores', partitioning=None);"
        "print(t.num_rows, t['score'].null_count)",
    )
    assert rows.split() == ["2000", "0"]


@pytest.mark.long
def test_a_schedule_trains_as_the_command_does(cluster: Cluster) -> None:
    place = ("--namespace", NAMESPACE)
    # The real schedule comes on Mondays; this one is started by hand.
    models = ("--model", "/data/payments/tiny.yaml", "--time-zone", "Europe/Paris")
    code, out, said = ran(cluster, "retrain-schedule", "set", "0 3 * * 1", TRANSACTIONS, *models, *place)
    assert code == 0, said
    assert "fraud-retraining: 0 3 * * 1 (Europe/Paris)" in out
    assert "--no-promote --model /data/payments/tiny.yaml" in out
    assert "last      never, successful never" in out
    assert "Upgrade complete" in cluster.helm("history", RELEASE, *place)

    job = "fraud-retraining-by-hand"
    cluster.kubectl("create", "job", job, f"--from=cronjob/{RELEASE}-retraining", namespace=NAMESPACE)
    code, _, said = ran(cluster, "follow", job, *place)
    assert code == 0, said
    code, out, _ = ran(cluster, "retrain-schedule", "show", "--output", "json", *place)
    assert [(training["job"], training["state"]) for training in json.loads(out)["trainings"]] == [(job, "complete")]
    assert any(tags.get("fraud.kubernetes_job") == job for tags in versions(cluster).values())

    code, _, said = ran(cluster, "retrain-schedule", "set", "0 3 * * 1", TRANSACTIONS, "--time-zone", "Mars", *place)
    assert code == 2
    assert "unknown time zone Mars" in said
    code, _, said = ran(cluster, "retrain-schedule", "set", "every day", TRANSACTIONS, *place)
    assert code == 2
    assert "jobs/retraining/schedule" in said or "jobs.retraining.schedule" in said

    assert ran(cluster, "retrain-schedule", "remove", *place)[0] == 0
    code, out, _ = ran(cluster, "retrain-schedule", "show", *place)
    assert (code, out) == (0, "there is no schedule\n")
