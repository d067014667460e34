"""The images run as a cluster runs them: a user without rights, a root that nobody writes to, nothing downloaded."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s.release.image import ImageMaker
from k8s.release.registry import ModelVersion
from tests.e2e.cluster.images import Images, build_images
from tests.e2e.cluster.node import Cluster
from tests.servers.registry import running_registry

START_SECONDS = 300
STEP_SECONDS = 1200
#: What the product promises of the scoring image.
SCORING_BYTES = 700_000_000
SCORING_RESIDENT_BYTES = 400_000_000
PAYMENT = {
    "customer_id": "c016",
    "merchant_id": "m047",
    "merchant_category": "electronics",
    "amount": 1890.0,
    "timestamp": "2026-05-30T03:12:00+02:00",
}
SCORE = f"""
import json
from bentos.client import FraudClient
for url in ("http://127.0.0.1:3000", "grpc://127.0.0.1:3001"):
    with FraudClient(url) as client:
        prediction = client.predict({PAYMENT!r}, record=False)
        print(json.dumps([prediction.score, prediction.decision, prediction.degraded]))
"""
#: Programs and packages that build or train; none belongs where scores are made.
BUILDERS = ("gcc", "cc", "g++", "git", "make", "pip", "pip3", "uv")
TRAINERS = ("torch", "sklearn", "mlflow", "shap", "pip", "setuptools")
FOUND = f"""
import importlib.util, json, os, shutil
print(json.dumps({{
    "programs": [name for name in {BUILDERS!r} if shutil.which(name)],
    "packages": [name for name in {TRAINERS!r} if importlib.util.find_spec(name)],
    "user": [os.getuid(), os.getgid()],
    "owned": [name for name in ("/", "/opt/venv/bin", "/opt/bento", "/etc", "/usr/bin") if os.access(name, os.W_OK)],
}}))
"""
Start = Callable[..., str]


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """One that admits restricted pods only."""
    name = f"images-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.kubectl(
        "create", manifest={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    )
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def start(cluster: Cluster, namespace: str) -> Iterator[Start]:
    """Start a pod of an image, and wait until it is ready."""
    started: list[str] = []

    def start(name: str, image: str, *, wait: bool = True, **container: Any) -> str:
        # Whoever had the name before may still be ending.
        name = f"{name}-{uuid.uuid4().hex[:8]}"
        cluster.kubectl("create", namespace=namespace, manifest=_pod(name, image, container))
        started.append(name)
        if wait:
            _ready(cluster, namespace, name)
        return name

    yield start
    for name in started:
        cluster.kubectl("delete", "pod", name, "--ignore-not-found", "--wait=false", namespace=namespace)


def _pod(name: str, image: str, container: dict[str, Any]) -> dict[str, Any]:
    places = {"home": "/var/lib/fraud", "tmp": "/tmp", "shm": "/dev/shm"}  # noqa: S108
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": True,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
                    "volumeMounts": [{"name": volume, "mountPath": path} for volume, path in places.items()],
                    **container,
                }
            ],
            "volumes": [
                {"name": "home", "emptyDir": {}},
                {"name": "tmp", "emptyDir": {}},
                {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "512Mi"}},
            ],
        },
    }


def _probe(path: str, port: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": port}, "periodSeconds": 1, "failureThreshold": START_SECONDS}


def _ready(cluster: Cluster, namespace: str, name: str) -> None:
    try:
        cluster.kubectl(
            "wait",
            "--for=condition=Ready",
            f"pod/{name}",
            f"--timeout={START_SECONDS}s",
            namespace=namespace,
            seconds=START_SECONDS + 60,
        )
    except AssertionError as error:
        raise AssertionError(cluster.kubectl("logs", name, "--tail=50", namespace=namespace)) from error


def _ended(cluster: Cluster, namespace: str, name: str) -> int:
    """Exit code of a pod's container, once it has ended."""
    until = time.monotonic() + STEP_SECONDS
    while time.monotonic() < until:
        statuses = cluster.get("pod", name, namespace=namespace)["status"].get("containerStatuses", [])
        if statuses and "terminated" in statuses[0]["state"]:
            return int(statuses[0]["state"]["terminated"]["exitCode"])
        time.sleep(1)
    raise AssertionError(f"{name} has not ended: {cluster.kubectl('describe', 'pod', name, namespace=namespace)}")


@pytest.fixture
def scoring(start: Start, images: Images) -> str:
    """A pod of the scoring image that is ready."""
    return start(
        "scoring",
        images.scoring,
        env=[{"name": "FRAUD_ALLOW_UNAUTHENTICATED", "value": "true"}],
        readinessProbe=_probe("/readyz", 3000),
    )


def test_scores_are_made_over_both_transports_by_a_small_process(
    cluster: Cluster, namespace: str, scoring: str, images: Images
) -> None:
    told = cluster.kubectl("exec", scoring, "--", "python", "-c", SCORE, namespace=namespace)
    over_http, over_grpc = (json.loads(line) for line in told.splitlines())
    assert over_http == over_grpc
    assert 0 < over_http[0] < 1
    assert over_http[2] == []
    log = cluster.kubectl("logs", scoring, namespace=namespace)
    assert "Read-only file system" not in log
    assert "Permission denied" not in log
    node = cluster.get("pod", scoring, namespace=namespace)["spec"]["nodeName"]
    assert _resident_bytes(cluster, node, namespace, scoring) <= SCORING_RESIDENT_BYTES
    sizes = [
        item["sizeBytes"] for item in cluster.get("node", node)["status"]["images"] if images.scoring in _names(item)
    ]
    assert 0 < max(sizes) <= SCORING_BYTES


def _names(image: dict[str, Any]) -> list[str]:
    return [name.removeprefix("docker.io/library/") for name in image.get("names") or []]


def _resident_bytes(cluster: Cluster, node: str, namespace: str, name: str) -> int:
    """What the kubelet has measured of a pod, which it does every few seconds."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        summary = json.loads(cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
        for pod in summary["pods"]:
            if pod["podRef"] == {**pod["podRef"], "name": name, "namespace": namespace}:
                resident = int(pod.get("memory", {}).get("workingSetBytes", 0))
                if resident:
                    return resident
        time.sleep(1)
    raise AssertionError(f"the kubelet says nothing of {name}")


def test_nothing_is_there_that_builds_or_trains_and_nothing_can_be_changed(
    cluster: Cluster, namespace: str, scoring: str
) -> None:
    found = json.loads(cluster.kubectl("exec", scoring, "--", "python", "-c", FOUND, namespace=namespace))
    assert found == {"programs": [], "packages": [], "user": [10001, 10001], "owned": []}


def test_a_file_is_scored_in_the_background_by_the_same_image(cluster: Cluster, namespace: str, scoring: str) -> None:
    program = f"""
import csv, io, json, time, urllib.request
rows = [{{**{PAYMENT!r}, "transaction_id": str(number)}} for number in range(50)]
text = io.StringIO()
writer = csv.DictWriter(text, rows[0])
writer.writeheader()
writer.writerows(rows)
url = "http://127.0.0.1:3000"
request = urllib.request.Request(url + "/predict_batch?format=csv", text.getvalue().encode(),
                                 {{"content-type": "text/csv"}})
job = json.load(urllib.request.urlopen(request))
until = time.monotonic() + {START_SECONDS}
while job["status"] in ("pending", "running") and time.monotonic() < until:
    time.sleep(0.5)
    job = json.load(urllib.request.urlopen(url + "/job_status/" + job["job_id"]))
print(json.dumps(job))
"""
    told = cluster.kubectl(
        "exec", scoring, "--", "python", "-c", program, namespace=namespace, seconds=2 * START_SECONDS
    )
    job = json.loads(told)
    log = cluster.kubectl("logs", scoring, "--tail=40", namespace=namespace)
    assert (job["status"], job["rows_done"], job["rows_failed"]) == ("completed", 50, 0), log


def test_it_ends_well_when_it_is_told_to(cluster: Cluster, namespace: str, scoring: str) -> None:
    cluster.kubectl(
        "exec", scoring, "--", "python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)", namespace=namespace
    )
    assert _ended(cluster, namespace, scoring) == 0


@pytest.mark.long
def test_a_model_is_trained_in_the_workers_image(
    cluster: Cluster, namespace: str, start: Start, images: Images
) -> None:
    steps = [
        "python -m training generate --rows 3000 --seed 0 --output $FRAUD_HOME/t.parquet",
        "python -m training features $FRAUD_HOME/t.parquet --output $FRAUD_HOME/f.parquet",
        "python -m training run $FRAUD_HOME/t.parquet --features $FRAUD_HOME/f.parquet --seed 0",
        "python -m bentos.fraud records status",
        "test -f $FRAUD_HOME/champion/artifact/manifest.json",
    ]
    name = start("training", images.workers, wait=False, command=["sh", "-ec", "\n".join(steps)])
    code = _ended(cluster, namespace, name)
    assert code == 0, cluster.kubectl("logs", name, "--tail=60", namespace=namespace)


@pytest.mark.long
def test_the_registry_is_served_from_the_workers_image(
    cluster: Cluster, namespace: str, start: Start, images: Images
) -> None:
    command = ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "1"]  # noqa: S104
    command += ["--backend-store-uri", "sqlite:////var/lib/fraud/mlflow.db"]
    command += ["--artifacts-destination", "/var/lib/fraud/mlruns", "--allowed-hosts", "*"]
    name = start("mlflow", images.workers, command=command, readinessProbe=_probe("/health", 5000))
    assert "Read-only file system" not in cluster.kubectl("logs", name, namespace=namespace)


@pytest.mark.long
def test_the_dashboard_is_served(cluster: Cluster, namespace: str, start: Start, images: Images) -> None:
    name = start("dashboard", images.dashboard, readinessProbe=_probe("/_stcore/health", 8501))
    look = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8501/').status)"
    assert cluster.kubectl("exec", name, "--", "python", "-c", look, namespace=namespace).strip() == "200"


def test_an_image_is_pushed_once_and_found_where_it_is(cluster: Cluster, tmp_path: Path) -> None:
    """With this machine's own builder and a real registry; what is in the image makes no difference here."""
    version = ModelVersion("7", "0" * 32, {"fraud.artifact_digest": "0123456789abcdef"})
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    with running_registry(tmp_path / "registry") as registry, pytest.MonkeyPatch.context() as patch:
        for name, value in {**cluster.environ, **registry.variables}.items():
            patch.setenv(name, value)
        maker = ImageMaker(f"{registry.host}/bank", True, "", tmp_path)
        image, builder = f"{maker.repository}:{maker.tag(version)}", cluster.environ.get("IMAGE_BUILDER", "docker")
        assert maker.find(version) == "nowhere"
        subprocess.run([builder, "build", "--tag", image, str(tmp_path)], check=True, timeout=STEP_SECONDS)
        try:
            assert maker.find(version) == "here"
            assert maker.make(version) == "was built before, pushed"
        finally:
            subprocess.run([builder, "rmi", image], check=True, timeout=STEP_SECONDS)
        assert registry.tags("bank/fraud-scoring") == [maker.tag(version)]
        assert maker.find(version) == "registry"
        assert maker.make(version) == "is in the registry"


@pytest.mark.long
def test_the_same_inputs_give_the_same_layers(cluster: Cluster, images: Images, tmp_path: Path) -> None:
    if cluster.environ.get("IMAGE_BUILDER") != "buildah":
        pytest.skip("compares layers in the store of buildah, which is not what builds here")
    again = Images(images.prefix, f"{images.tag}-again")
    build_images(again, cluster.environ, tmp_path, "--no-cache", "scoring")
    assert _layers(cluster, again.scoring) == _layers(cluster, images.scoring)


def _layers(cluster: Cluster, image: str) -> list[str]:
    shown = subprocess.run(
        ["buildah", "inspect", "--type", "image", image],
        env=dict(cluster.environ),
        capture_output=True,
        text=True,
        check=True,
        timeout=START_SECONDS,
    )
    layers: list[str] = json.loads(shown.stdout)["OCIv1"]["rootfs"]["diff_ids"]
    return layers
