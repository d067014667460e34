"""How a Job ends before its work does: by Ctrl-C, by others, by its time, and what then is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.cluster.jobs.beside import NAMESPACE, QUICK, TRAIN, is_gone, pods_of, until
from tests.e2e.cluster.launches import launched, ran
from tests.e2e.cluster.node import Cluster


def test_ctrl_c_deletes_the_job(cluster: Cluster) -> None:
    with launched(cluster, *TRAIN, "--", "--model", "network") as launch:
        job = launch.until(r"Job (fraud-train-\w+) in")[1]
        # Not later: all lines of a short training may come at once.
        launch.until("1 running or waiting")
        launch.interrupt()
        assert launch.ends() == 130, launch.text
    assert f"interrupted: deleting the Job {job} and its pods; Ctrl-C again leaves at once" in launch.text
    assert launch.lines[-1] == f"the Job {job} is deleted"
    assert is_gone(cluster, job)


@pytest.mark.long
def test_a_second_ctrl_c_leaves_at_once(cluster: Cluster) -> None:
    with launched(cluster, *TRAIN, "--", "--model", "network") as launch:
        job = launch.until(r"Job (fraud-train-\w+) in")[1]
        launch.until("1 running or waiting")
        launch.interrupt()
        launch.until("deleting the Job")
        launch.interrupt()
        assert launch.ends() == 130, launch.text
    assert "left at once" in launch.text or f"the Job {job} is deleted" in launch.text
    until(lambda: is_gone(cluster, job), "the Job's deletion")


@pytest.mark.long
def test_a_job_is_left_and_found_again(cluster: Cluster) -> None:
    code, out, said = ran(cluster, *TRAIN, "--detach", *QUICK)
    assert code == 0
    job = out.strip()
    assert f"python -m k8s follow {job} --namespace {NAMESPACE}" in said
    code, out, said = ran(cluster, "follow", job, "--namespace", NAMESPACE)
    assert code == 0, said
    assert "is challenger" in out
    code, _, said = ran(cluster, "follow", "fraud-train-none", "--namespace", NAMESPACE)
    assert code == 2
    assert "there is no Job 'fraud-train-none'" in said


@pytest.mark.long
def test_a_job_that_somebody_deletes(cluster: Cluster) -> None:
    with launched(cluster, *TRAIN, "--", "--model", "network") as launch:
        job = launch.until(r"Job (fraud-train-\w+) in")[1]
        launch.until("1 running or waiting")
        cluster.kubectl("delete", "job", job, namespace=NAMESPACE)
        assert launch.ends() == 1
    assert f"somebody deleted the Job {job}" in launch.text


@pytest.mark.long
def test_an_evicted_pod_is_replaced_and_counts_as_no_failure(cluster: Cluster, tmp_path: Path) -> None:
    with launched(cluster, *TRAIN, "--retries", "0", "--", "--model", "network") as launch:
        job = launch.until(r"Job (fraud-train-\w+) in")[1]
        (pod,) = until(lambda: pods_of(cluster, job), "a pod")
        name = pod["metadata"]["name"]
        until(lambda: pods_of(cluster, job)[0]["status"]["phase"] == "Running", "a running pod")
        metadata = {"name": name, "namespace": NAMESPACE}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        written = tmp_path / "eviction.json"
        written.write_text(json.dumps(eviction))
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
        cluster.kubectl("create", "--raw", path, "--filename", str(written))
        launch.until(rf"pod {name} was taken off its node")
        assert launch.ends() == 0, launch.text


@pytest.mark.long
def test_a_job_that_takes_too_long(cluster: Cluster) -> None:
    code, _, said = ran(cluster, *TRAIN, "--timeout", "5", "--", "--model", "network")
    assert code == 1
    assert "failed: it took longer than 5 s (--timeout)" in said
