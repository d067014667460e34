"""What the tests of Jobs share: the release's names, and looks at pods, registry, study and volume."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.cluster.node import Cluster
from tests.e2e.cluster.releases import until

__all__ = [
    "NAMESPACE",
    "QUICK",
    "RELEASE",
    "TRAIN",
    "TRANSACTIONS",
    "is_gone",
    "on_volume",
    "pods_of",
    "study",
    "until",
    "versions",
]

RELEASE = "fraud"
NAMESPACE = "fraud-jobs"
TRANSACTIONS = "claim://payments/transactions.parquet"
TRAIN = ("train", TRANSACTIONS, "--namespace", NAMESPACE)
#: A forest of ten trees: seconds.
QUICK = ("--", "--model", "/data/payments/tiny.yaml")


def on_volume(cluster: Cluster, program: str) -> str:
    """What a Python program prints that works on the volume, in a pod of the release's own kind."""
    template = cluster.get("podtemplate", f"{RELEASE}-training", namespace=NAMESPACE)["template"]
    (container,) = template["spec"]["containers"]
    container |= {"command": ["python", "-c", program], "args": []}
    container["volumeMounts"].append({"name": "payments", "mountPath": "/data/payments"})
    template["spec"]["volumes"].append({"name": "payments", "persistentVolumeClaim": {"claimName": "payments"}})
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "on-volume"}, "spec": template["spec"]}
    # The variable's source is a label of Jobs.
    container["env"] = [item for item in container["env"] if item["name"] != "FRAUD_KUBERNETES_JOB"]
    cluster.kubectl("create", manifest=pod, namespace=NAMESPACE)

    def phase() -> Any:
        found = cluster.get("pod", "on-volume", namespace=NAMESPACE)["status"]["phase"]
        return found if found in {"Succeeded", "Failed"} else None

    ended = until(phase, "the end of the program")
    told = cluster.kubectl("logs", "on-volume", namespace=NAMESPACE)
    cluster.kubectl("delete", "pod", "on-volume", namespace=NAMESPACE)
    assert ended == "Succeeded", told
    return told


def pods_of(cluster: Cluster, job: str) -> list[dict[str, Any]]:
    """Pods of a Job."""
    found = cluster.get("pods", f"--selector=batch.kubernetes.io/job-name={job}", namespace=NAMESPACE)["items"]
    return list(found)


def is_gone(cluster: Cluster, job: str) -> bool:
    """Whether neither Job nor pods are left."""
    left = cluster.kubectl("get", "job", job, "--ignore-not-found", "--output=name", namespace=NAMESPACE)
    return not left.strip() and not pods_of(cluster, job)


def versions(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Tags of the registered versions, by number."""
    program = (
        "import json, mlflow; c = mlflow.MlflowClient('http://localhost:5000');"
        "print(json.dumps({v.version: {**c.get_run(v.run_id).data.tags, **v.tags}"
        " for v in c.search_model_versions(\"name='fraud_detector'\")}))"
    )
    told = cluster.kubectl("exec", f"deployment/{RELEASE}-mlflow", "--", "python", "-c", program, namespace=NAMESPACE)
    return {str(number): tags for number, tags in json.loads(told.splitlines()[-1]).items()}


def study(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    """Trials of a study, as the workers' image reads them from PostgreSQL."""
    program = (
        "import json, optuna; from bentos.core.settings import TrainingSettings;"
        "from training.tune.storage import open_storage;"
        "s = open_storage(TrainingSettings().tune_url.get_secret_value());"
        f"t = optuna.load_study(study_name={name!r}, storage=s).get_trials();"
        "print(json.dumps([{'number': i.number, 'state': i.state.name, 'again': i.system_attrs.get('failed_trial'),"
        " 'surplus': 'surplus' in i.user_attrs} for i in t]))"
    )
    trials: list[dict[str, Any]] = json.loads(on_volume(cluster, program).splitlines()[-1])
    return trials
