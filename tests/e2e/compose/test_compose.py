"""The Compose file on a real engine: all containers come up healthy, and everything is asked through the proxy.

========================== ==================================================================================
variable                   meaning
========================== ==================================================================================
FRAUD_E2E_COMPOSE          command of Compose, such as ``docker compose``; without it these are skipped
FRAUD_E2E_IMAGE_PREFIX     before the images' names (localhost)
FRAUD_E2E_IMAGE_TAG        of the images (e2e)
FRAUD_E2E_COMPOSE_SERVERS  image that stands in for Caddy's, Redis' and PostgreSQL's, made of servers/Dockerfile
========================== ==================================================================================
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import pytest

from bentos.client import FraudClient
from tests.fraud.server import ROOT
from tests.ports import free_port

pytestmark = pytest.mark.slow

PAYMENT: Final = {"customer_id": "c1", "merchant_id": "m1", "amount": 12.5, "timestamp": "2026-05-30T03:12:00+02:00"}
_SECONDS: Final = 600.0
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Platform:
    """What runs: its address, a caller's key, a person's password."""

    address: str
    key: str
    password: str
    compose: Callable[..., str]

    @property
    def url(self) -> str:
        """Of the proxy."""
        return f"http://{self.address}"


def until(what: Callable[[], ResultT | None]) -> ResultT:
    """Ask again until there is an answer that is not empty."""
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        if answer := what():
            return answer
        time.sleep(0.5)
    raise AssertionError(f"nothing came within {_SECONDS:g} seconds")


def _run(*command: str, folder: Path) -> str:
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def _settings(folder: Path, port: int) -> None:
    """Write .env: free ports, the images of the environment, little machines."""
    new = {
        "IMAGE_PREFIX": os.environ.get("FRAUD_E2E_IMAGE_PREFIX", "localhost"),
        "IMAGE_TAG": os.environ.get("FRAUD_E2E_IMAGE_TAG", "e2e"),
        "HTTP_PORT": str(port),
        "HTTPS_PORT": str(free_port()),
        "PUBLIC_HOST": f"localhost:{port}",
        "SERVER_WORKERS": "1",
        "WORKER_CONCURRENCY": "1",
    }
    if servers := os.environ.get("FRAUD_E2E_COMPOSE_SERVERS"):
        new |= dict.fromkeys(["CADDY_IMAGE", "REDIS_IMAGE", "POSTGRESQL_IMAGE"], servers)
    text = (folder / ".env.example").read_text()
    for name, value in new.items():
        text, count = re.subn(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        assert count == 1, name
    (folder / ".env").write_text(text)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform, made of a copy of the folder."""
    command = os.environ.get("FRAUD_E2E_COMPOSE")
    if not command:
        pytest.skip("needs images and an engine: set FRAUD_E2E_COMPOSE to a command such as `docker compose`")
    folder = tmp_path_factory.mktemp("compose") / "fraud"
    shutil.copytree(ROOT / "compose", folder, ignore=shutil.ignore_patterns("secrets", ".env"))
    port = free_port()
    _settings(folder, port)
    told = _run("./prepare.sh", folder=folder)
    key, password = re.findall(r"this once: +(\S+)\n.*password: +\S+ +(\S+)", told)[0]

    def compose(*arguments: str) -> str:
        return _run(*shlex.split(command), "--project-name", f"fraud-{port}", *arguments, folder=folder)

    try:
        compose("up", "--detach")
        platform = Platform(f"localhost:{port}", key, password, compose)
        until(lambda: _healthy(platform))
        yield platform
    finally:
        compose("down", "--volumes", "--timeout", "5")


def _healthy(platform: Platform) -> bool:
    try:
        answer = httpx.get(f"{platform.url}/health", timeout=10)
    except httpx.TransportError:
        return False
    return answer.status_code == httpx.codes.OK and answer.json()["status"] == "ok"


def test_a_payment_is_scored_over_both_transports_at_one_port(platform: Platform) -> None:
    for scheme in ("http", "grpc"):
        with FraudClient(f"{scheme}://{platform.address}", api_key=platform.key) as client:
            prediction = client.predict(PAYMENT)
        assert 0 <= prediction.score <= 1
        assert not prediction.degraded
    assert httpx.post(f"{platform.url}/predict", json=PAYMENT).status_code == httpx.codes.UNAUTHORIZED


def test_a_batch_job_is_done_by_the_worker(platform: Platform) -> None:
    rows = "".join(f"c{row},m1,{row + 1}.0,2026-05-30T03:12:00+02:00\n" for row in range(300))
    with httpx.Client(base_url=platform.url, headers={"x-api-key": platform.key}, timeout=60) as http:
        answer = http.post(
            "/predict_batch",
            content=f"customer_id,merchant_id,amount,timestamp\n{rows}",
            headers={"content-type": "text/csv"},
        )
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        job = answer.json()["job_id"]

        def ended() -> dict[str, Any] | None:
            status: dict[str, Any] = http.get(f"/job_status/{job}").json()
            return status if status["status"] not in ("pending", "running") else None

        status = until(ended)
        assert (status["status"], status["rows_done"], status["rows_failed"]) == ("completed", 300, 0), status
        assert len(http.get(f"/job_result/{job}", params={"format": "csv"}).text.splitlines()) == 301


def test_people_get_their_pages_with_a_password(platform: Platform) -> None:
    for page in ("/dashboard/", "/mlflow/"):
        assert httpx.get(f"{platform.url}{page}").status_code == httpx.codes.UNAUTHORIZED
        answer = httpx.get(f"{platform.url}{page}", auth=("analyst", platform.password), timeout=60)
        assert answer.status_code == httpx.codes.OK
        assert "<html" in answer.text


def test_runs_are_tracked_through_the_proxy(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "analyst")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", platform.password)
    client = MlflowClient(f"{platform.url}/mlflow")
    run = client.create_run(client.create_experiment("through the proxy"))
    (tmp_path / "model.txt").write_text("weights")
    client.log_metric(run.info.run_id, "average_precision", 0.5)
    client.log_artifact(run.info.run_id, str(tmp_path / "model.txt"))
    assert client.get_run(run.info.run_id).data.metrics == {"average_precision": 0.5}
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["model.txt"]


def test_what_is_kept_outlasts_its_containers(platform: Platform) -> None:
    with FraudClient(platform.url, api_key=platform.key) as client:
        client.predict({**PAYMENT, "customer_id": "lasting", "transaction_id": "lasting-1"})
    # Redis syncs its file every second, the log is written every 0.2 s: both are before an orderly stop is over.
    platform.compose("restart", "--timeout", "60", "scoring", "redis", "postgresql")
    until(lambda: _healthy(platform))
    with FraudClient(platform.url, api_key=platform.key) as client:
        explained = client.explain({**PAYMENT, "customer_id": "lasting", "transaction_id": "lasting-2"})
    assert explained.features["customer_transactions_30d"] == 2
