"""The Jobs that commands make: by Kubernetes' schemas, admitted under the restricted profile, wired as the chart."""

from __future__ import annotations

from typing import Any

import pytest

from k8s.jobs.manifests import KIND_LABEL, Plan, Shares, job_manifest, job_name
from k8s.jobs.release import Kind
from tests.helm.charts import PROFILES, find, pods, render
from tests.helm.kubernetes_schemas import check
from tests.k8s.jobs.templates import template

PLANS: dict[str, tuple[Kind, Plan]] = {
    "train": ("training", Plan("train", ["run", "/data/payments/t.parquet"], {"payments": False})),
    "train with limits": (
        "training",
        Plan("train", ["run", "s3://bank/t.parquet"], retries=0, timeout_seconds=60, cpu="2", memory="8Gi"),
    ),
    "tune": ("training", Plan("tune", ["tune", "s3://bank/t.parquet"], shares=Shares(4, 4, first_decides=True))),
    "bulk": ("bulk", Plan("bulk", ["/data/in", "/data/out"], {"in": False, "out": True}, Shares(8, 2))),
}


def _job(name: str, profile: str = "local") -> dict[str, Any]:
    kind, plan = PLANS[name]
    return job_manifest(template(kind, profile=profile), plan, "fraud-job")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", PLANS)
def test_jobs_fit_kubernetes_schemas_and_the_restricted_profile(name: str, profile: str) -> None:
    job = _job(name, profile)
    assert check(job) == []
    spec = job["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"emptyDir", "persistentVolumeClaim", "secret"} >= {
        kind for volume in spec["volumes"] for kind in volume if kind != "name"
    }
    # The chart's policies let them reach MLflow, Redis and PostgreSQL.
    assert job["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == "jobs"
    assert job["metadata"]["labels"][KIND_LABEL] == PLANS[name][1].kind


def test_a_training_has_the_releases_mlflow_study_and_names_its_job() -> None:
    container = _job("train")["spec"]["template"]["spec"]["containers"][0]
    assert [*container["command"], *container["args"]] == [
        "python",
        "-m",
        "training",
        "run",
        "/data/payments/t.parquet",
    ]
    environment = {item["name"]: item.get("value") or item["valueFrom"] for item in container["env"]}
    assert environment["MLFLOW_TRACKING_URI"] == "http://fraud-mlflow:5000"
    assert environment["FRAUD_TUNE_URL"] == {"secretKeyRef": {"name": "fraud-secrets", "key": "records-url"}}
    assert environment["FRAUD_KUBERNETES_JOB"] == {
        "fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}
    }
    assert environment["FRAUD_KUBERNETES_IMAGE"] == container["image"]


def test_bulk_has_what_workers_have() -> None:
    objects = render(profile="production")
    workers = next(spec for owner, spec in pods(objects) if owner == "fraud-workers")["containers"][0]
    spec = _job("bulk", "production")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    for field in ("env", "envFrom", "image", "imagePullPolicy"):
        assert container[field] == workers[field], field
    assert [mount for mount in container["volumeMounts"] if mount["name"].startswith("claim-")] == [
        {"name": "claim-0", "mountPath": "/data/in", "readOnly": True},
        {"name": "claim-1", "mountPath": "/data/out"},
    ]
    assert [item["persistentVolumeClaim"]["claimName"] for item in spec["volumes"] if item["name"][:6] == "claim-"] == [
        *("in", "out"),
    ]


def test_bulk_scores_with_the_champion() -> None:
    values = {
        "scoring": {"champion": {"tag": "7", "artifact": "v7"}, "artifacts": {"existingClaim": "artifacts"}},
    }
    job = job_manifest(template("bulk", values), PLANS["bulk"][1], "fraud-job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "fraud-scoring:7"
    assert {"name": "FRAUD_ARTIFACT", "value": "/var/lib/fraud-artifacts/v7"} in container["env"]
    assert check(job) == []


def test_indexes_and_retries() -> None:
    bulk, tune, train = (_job(name)["spec"] for name in ("bulk", "tune", "train"))
    assert (bulk["completionMode"], bulk["completions"], bulk["parallelism"]) == ("Indexed", 8, 2)
    assert bulk["backoffLimitPerIndex"] == 2
    assert "successPolicy" not in bulk
    # The first pod trains in the end; that another one failed for good is no failure then.
    assert tune["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}
    assert train["backoffLimit"] == 2
    assert "completions" not in train
    assert "activeDeadlineSeconds" not in train
    for spec in (bulk, tune, train):
        assert spec["podReplacementPolicy"] == "Failed"
        assert spec["podFailurePolicy"]["rules"][0]["action"] == "Ignore"


def test_limits_of_a_job() -> None:
    spec = _job("train with limits")["spec"]
    assert spec["activeDeadlineSeconds"] == 60
    assert spec["backoffLimit"] == 0
    resources = spec["template"]["spec"]["containers"][0]["resources"]
    assert resources == {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"memory": "8Gi"}}


def test_the_template_stays_as_it_is() -> None:
    given = template("training")
    before = str(given.pod)
    job_manifest(given, PLANS["train with limits"][1], "fraud-job")
    assert str(given.pod) == before


def test_names_are_new_and_leave_room_for_index_and_pod() -> None:
    given = template("training", release="r" * 53)
    names = {job_name(given, "train") for _ in range(20)}
    assert len(names) == 20
    # A pod of index 99999 is called NAME-99999-abcde.
    assert max(len(f"{name}-99999-abcde") for name in names) <= 63
    assert all(check(job_manifest(given, PLANS["train"][1], name)) == [] for name in names)


def test_the_schedule_runs_the_job_of_the_command() -> None:
    values = {"jobs": {"retraining": {"enabled": True, "transactions": "claim://payments/t.parquet", "retries": 1}}}
    schedule = find(render(values, profile="local"), "CronJob", "fraud-retraining")["spec"]
    arguments = ["run", "/data/payments/t.parquet", "--no-promote", "--model", "forest", "--model", "network"]
    plan = Plan("train", arguments, {"payments": False}, retries=1, timeout_seconds=21600)
    job = job_manifest(template("training", values), plan, "fraud-job")
    # A schedule keeps a number of Jobs, a command keeps its Job for a day.
    job["spec"].pop("ttlSecondsAfterFinished")
    assert schedule["jobTemplate"]["spec"] == job["spec"]
    assert schedule["jobTemplate"]["metadata"]["labels"] == job["metadata"]["labels"]
    assert (schedule["concurrencyPolicy"], schedule["timeZone"]) == ("Forbid", "Etc/UTC")
