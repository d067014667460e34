"""What cannot work is refused before anything is installed, with what to do about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.helm.charts import CHART, GATEWAY_KINDS, failure
from tests.helm.test_chart import CANARY, SHARED

NO_KINDS: tuple[str, ...] = ()
KNOWN_BY_A_CLUSTER: Final = ("the secret ",)
#: Message that begins with what is filled in: about secrets, which only a running cluster is asked for.
FILLED_FIRST: Final = ("%s: there is no secret %q in namespace %q",)
ROLLOUT = {"stage": "canary", "weight": 25, "name": "first"}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "retraining on nothing": (
        {"jobs": {"retraining": {"enabled": True}}},
        "jobs.retraining.enabled=true needs jobs.retraining.transactions",
    ),
    "retraining for no registry": (
        {
            "jobs": {"retraining": {"enabled": True, "transactions": "s3://bank/t.parquet"}},
            "mlflow": {"enabled": False},
            "dashboard": {"mlflowUrl": "none"},
        },
        "jobs.retraining.enabled=true registers models in the chart's MLflow, which is not enabled",
    ),
    "embedded features, several pods": (
        {"scoring": {"replicas": 2}},
        "global.features.store=embedded is a file of one pod, but scoring has several",
    ),
    "embedded features, autoscaling": (
        {"scoring": {"autoscaling": {"kind": "hpa"}}},
        "global.features.store=embedded is a file of one pod, but scoring has several",
    ),
    "embedded features, challenger": (
        {"scoring": {"rollout": {"stage": "shadow", "name": "first"}, "challenger": {"tag": "2"}}},
        "scoring.rollout.stage=shadow needs a feature store that champion and challenger share",
    ),
    "embedded records, several pods": (
        {"global": {**SHARED, "records": {"database": "sqlite"}}, "scoring": {"replicas": 2}},
        "global.records.database=sqlite is a file of one pod, but scoring has several",
    ),
    "embedded records, challenger": (
        {**CANARY, "global": {**SHARED, "records": {"database": "sqlite"}}},
        "scoring.rollout.stage=canary needs records that champion and challenger share",
    ),
    "several pods, each with its own jobs' files": (
        {"global": {**SHARED, "jobs": {}}, "scoring": {"replicas": 2}},
        "several scoring pods need one place for the files of batch jobs",
    ),
    "fewest above most": (
        {"global": SHARED, "scoring": {"autoscaling": {"kind": "hpa", "minReplicas": 5, "maxReplicas": 3}}},
        "scoring.autoscaling.minReplicas=5 is more than maxReplicas=3",
    ),
    "share of no CPU": (
        {"global": SHARED, "scoring": {"autoscaling": {"kind": "hpa"}, "resources": {"requests": {"cpu": None}}}},
        "set scoring.resources.requests.cpu",
    ),
    "no KEDA": (
        {"global": SHARED, "scoring": {"autoscaling": {"kind": "keda"}}},
        "this cluster has no kind ScaledObject of keda.sh/v1alpha1",
    ),
    "KEDA without Prometheus": (
        {
            "global": SHARED,
            "scoring": {"autoscaling": {"kind": "keda"}},
            "monitoring": {"enabled": False},
            "dashboard": {"prometheusUrl": "none"},
        },
        "scoring.autoscaling.kind=keda asks a Prometheus",
    ),
    "killed while it answers": (
        {"scoring": {"terminationSeconds": 25}},
        "scoring.terminationSeconds=25 would kill pods that still answer",
    ),
    "a longer grace": (
        {"global": {"settings": {"grpc_grace_seconds": 60}}},
        "it must be more than preStopSeconds (5) and settings.grpc_grace_seconds (60) together",
    ),
    "artifact without a volume": (
        {"scoring": {"champion": {"artifact": "7"}}},
        "scoring.champion.artifact and scoring.challenger.artifact are paths on a volume: set scoring.artifacts.exist",
    ),
    "weight without a challenger": (
        {"scoring": {"rollout": {"weight": 10}}},
        "scoring.rollout.weight=10 without a challenger",
    ),
    "shadow of a part": (
        {
            "global": {**SHARED, "settings": {"prediction_log": "flagged"}},
            "scoring": {"rollout": {**ROLLOUT, "stage": "shadow"}, "challenger": {"tag": "2"}},
        },
        "scoring.rollout.stage=shadow pairs recorded predictions with the challenger's: set"
        " global.settings.prediction_log=all instead of flagged",
    ),
    "weight in the shadow": (
        {"global": SHARED, "scoring": {"rollout": {**ROLLOUT, "stage": "shadow"}, "challenger": {"tag": "2"}}},
        "a challenger in the shadow answers nobody",
    ),
    "rollout without a name": (
        {"global": SHARED, "scoring": {"rollout": {"stage": "shadow"}, "challenger": {"tag": "2"}}},
        "scoring.rollout.stage=shadow needs scoring.rollout.name",
    ),
    "challenger that is the champion": (
        {"global": SHARED, "scoring": {"rollout": {"stage": "shadow", "name": "first"}}},
        "with a challenger that is the champion",
    ),
    "canary by pods under an autoscaler": (
        {
            "global": SHARED,
            "scoring": {"autoscaling": {"kind": "hpa"}, "rollout": ROLLOUT, "challenger": {"tag": "2"}},
        },
        "a canary without a gateway splits by numbers of pods, which scoring.autoscaling changes",
    ),
    "canary by pods that leaves the champion none": (
        {
            "global": SHARED,
            "scoring": {"replicas": 2, "rollout": {**ROLLOUT, "weight": 100}, "challenger": {"tag": "2"}},
        },
        "at 100 % the champion has none",
    ),
    "canary by too few pods": (
        {"global": SHARED, "scoring": {"replicas": 2, "rollout": ROLLOUT, "challenger": {"tag": "2"}}},
        "25 % of 2 pods is no whole number",
    ),
    "gateway without a name": (
        {"scoring": {"expose": {"kind": "gateway"}}},
        "scoring.expose.kind=gateway needs scoring.expose.gateway.name",
    ),
    "ingress without host names": (
        {"scoring": {"expose": {"kind": "ingress"}}},
        "scoring.expose.kind=ingress needs scoring.expose.hostnames",
    ),
    "no Redis": (
        {"global": {"features": {"store": "redis"}}},
        "global.features.store=redis needs one: set global.redis.existingSecret",
    ),
    "two Redis": (
        {"global": {"redis": {"deploy": True, "existingSecret": "redis"}}},
        "global.redis.deploy=true and global.redis.existingSecret name two Redis",
    ),
    "no PostgreSQL": (
        {"global": {"records": {"database": "postgresql"}}},
        "global.records.database=postgresql needs one: set global.postgresql.existingSecret",
    ),
    "two PostgreSQL": (
        {"global": {"postgresql": {"deploy": True, "existingSecret": "records"}}},
        "global.postgresql.deploy=true and global.postgresql.existingSecret name two PostgreSQL",
    ),
    "the chart's broker without Redis": (
        {"global": {"queue": {"broker": "redis"}}},
        "global.queue.broker=redis is the chart's own Redis: set global.redis.deploy=true",
    ),
    "broker of nowhere": (
        {"global": {"queue": {"broker": "external"}}},
        "global.queue.broker=external needs global.queue.existingSecret",
    ),
    "rollouts that cannot call the cluster": (
        {"rollouts": {"enabled": True}},
        "rollouts.enabled=true, and no network policy lets its controller call the cluster's API",
    ),
    "rollouts without counters": (
        {
            "rollouts": {"enabled": True, "apiServers": [{"cidr": "10.0.0.1/32", "port": 6443}]},
            "monitoring": {"enabled": False},
            "dashboard": {"prometheusUrl": "none"},
        },
        "rollouts.enabled=true judges by counters: set rollouts.prometheusUrl",
    ),
    "broker without workers": (
        {"global": {"queue": {"broker": "external", "existingSecret": "queue"}}},
        "global.queue.broker without workers: nobody would do batch jobs",
    ),
    "workers without a broker": (
        {"global": SHARED, "workers": {"enabled": True}},
        "workers.enabled=true needs a broker",
    ),
    "workers without shared features": (
        {"workers": {"enabled": True}},
        "workers.enabled=true needs features and records that servers and workers share",
    ),
    "workers without shared files": (
        {"global": {**SHARED, "jobs": {}}, "workers": {"enabled": True}},
        "workers.enabled=true needs one place for the files of batch jobs",
    ),
    "two places for files": (
        {"global": {"jobs": {"url": "s3://jobs/", "volume": {"enabled": True}}}},
        "global.jobs.url and global.jobs.volume.enabled=true are two places",
    ),
    "keys that nobody is asked for": (
        {"global": {"access": {"allowUnauthenticated": True, "existingSecret": "keys"}}},
        "global.access.allowUnauthenticated=true and global.access.existingSecret contradict each other",
    ),
    "dashboard for everybody": (
        {"dashboard": {"expose": {"kind": "ingress", "hostnames": ["dashboard.example.com"]}}},
        "dashboard.expose shows the dashboard to others, and nobody would log in",
    ),
    "dashboard's gateway without a name": (
        {
            "dashboard": {
                "expose": {"kind": "gateway", "hostnames": ["dashboard.example.com"]},
                "login": {"existingSecret": "login"},
            }
        },
        "dashboard.expose.kind=gateway needs dashboard.expose.gateway.name",
    ),
    "dashboard without host names": (
        {"dashboard": {"expose": {"kind": "ingress"}, "login": {"existingSecret": "login"}}},
        "dashboard.expose.kind=ingress needs dashboard.expose.hostnames",
    ),
    "dashboard without MLflow": (
        {"mlflow": {"enabled": False}},
        "the dashboard shows the models of the chart's MLflow, which is not enabled",
    ),
    "dashboard without Prometheus": (
        {"monitoring": {"enabled": False}},
        "the dashboard asks the chart's own Prometheus, which does not run",
    ),
    "dashboard that cannot call the cluster": (
        {"dashboard": {"rollouts": {"enabled": True}}},
        "dashboard.rollouts.enabled=true, and no network policy lets the dashboard call the cluster's API",
    ),
    "dashboard that calls the cluster for nothing": (
        {"dashboard": {"rollouts": {"apiServers": [{"cidr": "10.0.0.1/32", "port": 6443}]}}},
        "dashboard.rollouts.apiServers without dashboard.rollouts.enabled=true",
    ),
    "MLflow without a database": (
        {"mlflow": {"database": "postgresql"}},
        "mlflow.database=postgresql needs one: set mlflow.existingSecret",
    ),
    "operator's kinds are not there": (
        {"monitoring": {"kind": "operator"}},
        "monitoring.kind=operator, but this cluster has no kind ServiceMonitor of monitoring.coreos.com/v1",
    ),
    "two configurations of Alertmanager": (
        {"monitoring": {"alertmanager": {"existingSecret": "all", "slack": {"existingSecret": "slack"}}}},
        "monitoring.alertmanager.existingSecret is the whole configuration: unset",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    values, message = REFUSED[case]
    told = failure(values)
    assert "these values do not fit together" in told
    assert message in told


NO_GATEWAY = {
    "scoring": "scoring.expose.kind=gateway, but this cluster has no kind HTTPRoute",
    "dashboard": "dashboard.expose.kind=gateway, but this cluster has no kind HTTPRoute",
}


@pytest.mark.parametrize("part", NO_GATEWAY)
def test_a_cluster_without_gateway_api(part: str) -> None:
    expose = {"kind": "gateway", "hostnames": ["fraud.example.com"], "gateway": {"name": "gateway"}}
    values: dict[str, Any] = {part: {"expose": expose}}
    if part == "dashboard":
        values[part]["login"] = {"existingSecret": "login"}
    told = failure(values, kinds=NO_KINDS)
    assert NO_GATEWAY[part] in told
    assert "install Gateway API and a controller" in told


def test_a_release_that_begins_with_a_digit() -> None:
    told = failure(release="1fraud")
    assert "the release's name " in told
    assert '"1fraud" does not begin with a letter' in told


def test_a_release_of_60_characters_is_helm_s_to_refuse() -> None:
    assert "release name" in failure(release="f" * 60)


WRONG_TYPES: dict[str, tuple[dict[str, Any], str]] = {
    "text for a number": ({"scoring": {"replicas": "two"}}, "/replicas"),
    "no pods": ({"scoring": {"replicas": 0}}, "/replicas"),
    "a value that there is not": ({"scoring": {"replica": 2}}, "replica"),
    "a part that there is not": ({"scroing": {}}, "scroing"),
    "a shared value that there is not": ({"global": {"feature": {}}}, "feature"),
    "an unknown store": ({"global": {"features": {"store": "feast"}}}, "/global/features/store"),
    "a size that is none": ({"scoring": {"persistence": {"size": "ten"}}}, "/persistence/size"),
    "a setting of the wrong type": ({"global": {"settings": {"batch_size": "many"}}}, "/global/settings/batch_size"),
    "a setting out of range": ({"global": {"settings": {"batch_size": 0}}}, "/global/settings/batch_size"),
    "a setting that there is not": ({"global": {"settings": {"batchSize": 5}}}, "batchSize"),
    "a setting that is the chart's": ({"global": {"settings": {"redis_url": "redis://x"}}}, "redis_url"),
    "a weight above 100": ({"scoring": {"rollout": {"weight": 101}}}, "/rollout/weight"),
    "a path out of the volume": ({"scoring": {"champion": {"artifact": "../x"}}}, "/champion/artifact"),
    "a resource that there is not": ({"mlflow": {"resources": {"limits": {"gpu": 1}}}}, "gpu"),
}


@pytest.mark.parametrize("case", WRONG_TYPES)
def test_values_of_the_wrong_type(case: str) -> None:
    values, place = WRONG_TYPES[case]
    told = failure(values, kinds=GATEWAY_KINDS)
    assert "schema" in told
    assert place in told


def test_every_message_of_the_chart_is_tested() -> None:
    source = (CHART / "templates" / "validate.yaml").read_text()
    # A message's text up to what is filled in says which it is.
    written = [part for part in re.findall(r'append \$errors \(?(?:printf )?"([^"%\\]+)', source) if len(part) > 1]
    assert len(written) == source.count("append $errors") - len(FILLED_FIRST)
    here = Path(__file__).read_text()
    assert [text for text in written if text[:25] not in here and text not in KNOWN_BY_A_CLUSTER] == []
