"""What is in a Job's way is said, and nothing waits for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster.jobs.beside import NAMESPACE, QUICK, RELEASE, TRAIN, is_gone, until
from tests.e2e.cluster.launches import ran
from tests.e2e.cluster.node import Cluster


@pytest.mark.long
def test_too_little_memory(cluster: Cluster) -> None:
    code, _, said = ran(cluster, *TRAIN, "--memory", "48Mi", "--retries", "0", *QUICK)
    assert code == 1
    assert "was killed: it needed more than 48Mi of memory; give it more with --memory" in said


@pytest.mark.long
def test_a_node_too_small(cluster: Cluster) -> None:
    code, out, said = ran(cluster, *TRAIN, "--memory", "1000Gi", "--start-timeout", "5", "--output", "json", *QUICK)
    told = json.loads(out)
    assert (code, told["status"]) == (1, "stuck")
    assert "Insufficient memory" in told["reason"]
    assert "the Job is deleted: nothing ran for 5 s" in said
    until(lambda: is_gone(cluster, told["job"]), "the Job's deletion")


@contextmanager
def _changed_template(cluster: Cluster, *changes: dict[str, Any]) -> Iterator[None]:
    """The release's template of trainings, with a mistake in it for the length of the block."""
    place = ("podtemplate", f"{RELEASE}-training")
    before = cluster.get(*place, namespace=NAMESPACE)
    cluster.kubectl("patch", *place, "--type=json", f"--patch={json.dumps(changes)}", namespace=NAMESPACE)
    try:
        yield
    finally:
        whole = {"op": "replace", "path": "/template", "value": before["template"]}
        cluster.kubectl("patch", *place, "--type=json", f"--patch={json.dumps([whole])}", namespace=NAMESPACE)


@pytest.mark.long
def test_an_image_that_is_absent(cluster: Cluster) -> None:
    path = "/template/spec/containers/0"
    for policy, reason in (("IfNotPresent", "ImagePullBackOff"), ("Never", "ErrImageNeverPull")):
        changes = [
            {"op": "replace", "path": f"{path}/image", "value": "localhost/fraud-workers:missing"},
            {"op": "replace", "path": f"{path}/imagePullPolicy", "value": policy},
        ]
        with _changed_template(cluster, *changes):
            code, out, said = ran(cluster, *TRAIN, "--output", "json", *QUICK)
        told = json.loads(out)
        assert (code, told["status"]) == (1, "stuck"), said
        assert f"has no image: localhost/fraud-workers:missing ({reason}" in said
        until(lambda job=told["job"]: is_gone(cluster, job), "the Job's deletion")  # type: ignore[misc]


@pytest.mark.long
def test_a_secret_that_is_missing(cluster: Cluster) -> None:
    reference = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "nowhere", "key": "x"}}}
    with _changed_template(cluster, {"op": "add", "path": "/template/spec/containers/0/env/-", "value": reference}):
        code, _, said = ran(cluster, *TRAIN, *QUICK)
    assert code == 1
    assert 'cannot start: secret "nowhere" not found' in said


@pytest.mark.long
def test_a_claim_that_is_missing(cluster: Cluster) -> None:
    code, _, said = ran(cluster, "train", "claim://nowhere/t.parquet", "--namespace", NAMESPACE)
    assert code == 1
    assert 'persistentvolumeclaim "nowhere" not found' in said


@pytest.mark.long
def test_a_table_that_is_missing(cluster: Cluster) -> None:
    missing = "claim://payments/nothing.parquet"
    code, out, said = ran(cluster, "train", missing, "--namespace", NAMESPACE, "--retries", "0")
    assert code == 1
    assert "error: there is no table of transactions at /data/payments/nothing.parquet" in out
    assert "failed: exit code 2" in said


@pytest.mark.long
def test_a_quota_that_leaves_no_room(cluster: Cluster) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"requests.memory": "1Mi"}},
    }
    cluster.kubectl("create", manifest=quota, namespace=NAMESPACE)
    try:
        # What is counted is known a moment after it was made.
        until(
            lambda: cluster.get("resourcequota", "small", namespace=NAMESPACE)["status"].get("used"),
            "a quota that counts",
        )
        code, _, said = ran(cluster, *TRAIN, "--start-timeout", "5", *QUICK)
    finally:
        cluster.kubectl("delete", "resourcequota", "small", namespace=NAMESPACE)
    assert code == 1
    assert "the namespace's quota leaves no room for a pod: " in said


@pytest.mark.long
def test_what_a_person_may_not_do(cluster: Cluster, tmp_path: Path) -> None:
    cluster.kubectl("create", "serviceaccount", "person", namespace=NAMESPACE)
    token = cluster.kubectl("create", "token", "person", namespace=NAMESPACE).strip()
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    kubeconfig = tmp_path / "person"
    kubeconfig.write_text(yaml.safe_dump(config))
    code, _, said = ran(cluster, *TRAIN, kubeconfig=kubeconfig)
    assert code == 2
    assert 'cannot list resource "podtemplates"' in said

    rights = [
        ("podtemplates", "list"),
        ("jobs.batch", "create,get,delete"),
        ("pods", "list"),
        ("pods/log", "get"),
        ("events", "list"),
    ]
    for number, (resource, verbs) in enumerate(rights):
        role = f"launcher-{number}"
        options = (f"--verb={verbs}", f"--resource={resource}")
        cluster.kubectl("create", "role", role, *options, namespace=NAMESPACE)
        subject = f"--serviceaccount={NAMESPACE}:person"
        cluster.kubectl("create", "rolebinding", role, f"--role={role}", subject, namespace=NAMESPACE)
    code, out, said = ran(cluster, *TRAIN, *QUICK, kubeconfig=kubeconfig)
    assert code == 0, said
    assert "is challenger" in out
