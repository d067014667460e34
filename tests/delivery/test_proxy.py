"""The proxy's configuration in the real program, before real servers, started by the Compose file's own commands."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from bentos.client import FraudClient
from tests.delivery.compose import FOLDER, environment_of, example, read
from tests.delivery.programs import find_program, run
from tests.fraud.artifacts import make_champion
from tests.fraud.server import ROOT, environment, running_server
from tests.ports import free_port

PASSWORD: Final = "for nobody"  # noqa: S105 - of this test's own proxy
PAYMENT: Final = {"customer_id": "c1", "merchant_id": "m1", "amount": 12.5, "timestamp": "2026-05-30T03:12:00+02:00"}
_SECONDS: Final = 120.0


def _configuration(folder: Path, ports: Mapping[str, int]) -> Path:
    """The Caddyfile with this machine's ports in place of containers."""
    text = (FOLDER / "Caddyfile").read_text()
    changes = {
        "http_port 8080": f"http_port {ports['proxy']}",
        "https_port 8443": f"https_port {ports['https']}",
        "http://:8081": f"http://127.0.0.1:{ports['health']}",
        "scoring 3000": f"127.0.0.1 {ports['scoring']}",
        "scoring 3001": f"127.0.0.1 {ports['grpc']}",
        "dashboard:8501": f"127.0.0.1:{ports['dashboard']}",
        "mlflow:5000": f"127.0.0.1:{ports['mlflow']}",
        "/run/secrets/PROXY_USERS": str(folder / "users"),
    }
    for before, after in changes.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    hashed = run(find_program("caddy"), "hash-password", text=f"{PASSWORD}\n").stdout.strip()
    (folder / "users").write_text(f"analyst {hashed}")
    (folder / "Caddyfile").write_text(text)
    return folder / "Caddyfile"


@contextlib.contextmanager
def _running(command: list[str], environ: Mapping[str, str], url: str, log: Path) -> Iterator[None]:
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(environ), stdout=output, stderr=output, start_new_session=True
        )
        try:
            end = time.monotonic() + _SECONDS
            while not _answers(url):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            yield
        finally:
            # It leads a session of its own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _answers(url: str) -> bool:
    # By the program that containers ask themselves with.
    return run(sys.executable, str(FOLDER / "answers.py"), url).returncode == 0


def _command(service: str, **changes: str) -> list[str]:
    """A service's command on this machine: its python, its ports."""
    words = [changes.get(word, word) for word in read()["services"][service]["command"]]
    return [sys.executable, "-m", *words] if words[0] != "python" else [sys.executable, *words[1:]]


def _environ(service: str, home: Path, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FRAUD_", "MLFLOW_"))}
    return {**inherited, **environment_of(service), "FRAUD_HOME": str(home), "HOME": str(home), **more}


@dataclass(frozen=True)
class Site:
    """What the proxy serves."""

    address: str
    port_of_health: int

    @property
    def url(self) -> str:
        """Of the proxy."""
        return f"http://{self.address}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The proxy before a service, a dashboard and an MLflow."""
    caddy = find_program("caddy")
    folder = tmp_path_factory.mktemp("proxy")
    ports = {name: free_port() for name in ("proxy", "https", "health", "grpc", "dashboard", "mlflow")}
    make_champion(folder / "service")
    settings = example() | {"PUBLIC_HOST": f"localhost:{ports['proxy']}"}
    mlflow = [word.replace("/var/lib/fraud", str(folder)) for word in read(settings)["services"]["mlflow"]["command"]]
    mlflow = [f"--port={ports['mlflow']}" if word == "--port=5000" else word for word in mlflow]
    mlflow = ["--host=127.0.0.1" if word == "--host=0.0.0.0" else word for word in mlflow]
    mlflow = [word.replace("127.0.0.1:5000", f"127.0.0.1:{ports['mlflow']}") for word in mlflow]
    pages = _command("dashboard", **{"0.0.0.0": "127.0.0.1", "8501": str(ports["dashboard"])})  # noqa: S104
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            running_server(environment(folder / "service", FRAUD_GRPC_PORT=str(ports["grpc"])), log=folder / "s.log")
        )
        ports["scoring"] = int(server.url.rpartition(":")[2])
        configuration = _configuration(folder, ports)
        store = f"sqlite:///{folder}/mlflow.db"
        for command, environ, url, log in (
            (
                pages,
                _environ("dashboard", folder, FRAUD_DASHBOARD_SERVICE_URL=server.url, STREAMLIT_SERVER_HEADLESS="true"),
                f"http://127.0.0.1:{ports['dashboard']}/dashboard/_stcore/health",
                "dashboard.log",
            ),
            (
                [sys.executable, "-m", *mlflow],
                _environ("mlflow", folder, MLFLOW_BACKEND_STORE_URI=store, MLFLOW_DISABLE_TELEMETRY="true"),
                f"http://127.0.0.1:{ports['mlflow']}/mlflow/health",
                "mlflow.log",
            ),
            (
                [caddy, "run", "--adapter", "caddyfile", "--config", str(configuration)],
                {**os.environ, **environment_of("proxy"), "SITE": f"http://:{ports['proxy']}"}
                | {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
                f"http://127.0.0.1:{ports['health']}/healthz",
                "proxy.log",
            ),
        ):
            stack.enter_context(_running(command, environ, url, folder / log))
        yield Site(f"localhost:{ports['proxy']}", ports["health"])


@pytest.mark.parametrize("name", [":8080", "http://:8080", "fraud.example.com"])
def test_the_program_takes_the_configuration(name: str, tmp_path: Path) -> None:
    names = ("proxy", "https", "health", "scoring", "grpc", "dashboard", "mlflow")
    ports = {name: 8080 + number for number, name in enumerate(names)}
    configuration = _configuration(tmp_path, ports)
    environ = {**os.environ, "SITE": name, "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    command = ["validate", "--adapter", "caddyfile", "--config", str(configuration)]
    ended = run(find_program("caddy"), *command, environ=environ)
    assert ended.returncode == 0, ended.stderr
    configuration.write_text(configuration.read_text().replace("reverse_proxy", "reverse_procsy", 1))
    assert run(find_program("caddy"), *command, environ=environ).returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_payments_are_scored_at_one_port(site: Site, scheme: str) -> None:
    with FraudClient(f"{scheme}://{site.address}") as client:
        prediction = client.predict(PAYMENT)
        many = client.predict_many([PAYMENT, PAYMENT])
    assert 0 <= prediction.score <= 1
    assert len(many) == 2


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz"])
def test_what_is_for_those_inside_is_not_served(site: Site, path: str) -> None:
    assert httpx.get(f"{site.url}{path}").status_code == httpx.codes.NOT_FOUND
    assert httpx.get(f"{site.url}/health").status_code == httpx.codes.OK


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/", "/mlflow", "/mlflow/"])
def test_pages_ask_for_a_password(site: Site, path: str) -> None:
    assert httpx.get(f"{site.url}{path}").status_code == httpx.codes.UNAUTHORIZED
    assert httpx.get(f"{site.url}{path}", auth=("analyst", "wrong")).status_code == httpx.codes.UNAUTHORIZED
    answer = httpx.get(f"{site.url}{path}", auth=("analyst", PASSWORD), follow_redirects=True, timeout=60)
    assert answer.status_code == httpx.codes.OK
    assert "<html" in answer.text
    assert str(answer.url).startswith(site.url)


@pytest.mark.slow
def test_pages_are_alive_behind_it(site: Site) -> None:
    address = f"ws://{site.address}/dashboard/_stcore/stream"
    token = base64.b64encode(f"analyst:{PASSWORD}".encode()).decode()
    with connect(
        address,
        additional_headers={"Authorization": f"Basic {token}"},
        origin=site.url,
        subprotocols=["streamlit"],
        proxy=None,
    ) as socket:
        assert socket.subprotocol == "streamlit"
    with pytest.raises(InvalidStatus, match="401"):
        connect(address, origin=site.url, proxy=None)


@pytest.mark.slow
def test_the_registry_answers_its_own_pages_alone(site: Site) -> None:
    url = f"{site.url}/mlflow/ajax-api/2.0/mlflow/experiments/search"
    for origin, status in ((site.url, httpx.codes.OK), ("http://evil.example", httpx.codes.FORBIDDEN)):
        answer = httpx.post(
            url, json={"max_results": 1}, auth=("analyst", PASSWORD), headers={"origin": origin}, timeout=60
        )
        assert answer.status_code == status, answer.text
