"""A Prometheus and an Alertmanager of the tests' own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.ports import free_port
from tests.waiting import eventually

__all__ = ["Prometheus", "running_alertmanager", "running_prometheus"]

_STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Series of an expression now.

        Raises
        ------
        AssertionError
            When Prometheus does not understand it.
        """
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=30).json()
        assert answer["status"] == "success", f"{answer.get('error')}: {expression}"
        found = answer["data"]["result"]
        return list(found) if answer["data"]["resultType"] == "vector" else [{"metric": {}, "value": found}]

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        answer = httpx.get(f"{self.url}/api/v1/alerts", timeout=30).json()
        return {alert["labels"]["alertname"] for alert in answer["data"]["alerts"] if alert["state"] == "firing"}

    def names(self) -> set[str]:
        """Names of all metrics that it ever saw."""
        return set(httpx.get(f"{self.url}/api/v1/label/__name__/values", timeout=30).json()["data"])


@contextlib.contextmanager
def running_prometheus(folder: Path, targets: Sequence[str], rules: str, past: str = "") -> Iterator[Prometheus]:
    """A Prometheus that looks each second; skips the test where the program is missing, but not in CI.

    Parameters
    ----------
    folder
        Of its files; made.
    targets
        Servers to scrape, host:port each, with the labels that the chart's scrape adds.
    rules
        Content of its file of rules.
    past
        What it knows from earlier, in OpenMetrics' text format with times.
    """
    _require("prometheus")
    folder.mkdir()
    (folder / "rules.yaml").write_text(rules)
    if past:
        (folder / "past").write_text(past)
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "past", folder / "data"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    labels = {"namespace": "fraud", "release": "fraud"}
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {"job_name": "fraud-scoring", "static_configs": [{"targets": list(targets), "labels": labels}]}
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with _running(command, folder / "log", f"http://{address}/-/ready"):
        yield Prometheus(f"http://{address}")


@contextlib.contextmanager
def running_alertmanager(folder: Path, configuration: Path) -> Iterator[str]:
    """An Alertmanager; gives its URL.

    Parameters
    ----------
    folder
        Of its files; made.
    configuration
        Its file.
    """
    _require("prometheus-alertmanager")
    folder.mkdir()
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus-alertmanager",
        f"--config.file={configuration}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with _running(command, folder / "log", f"http://{address}/-/ready"):
        yield f"http://{address}"


def _require(program: str) -> None:
    if shutil.which(program) is None:
        assert "CI" not in os.environ, f"{program} is missing: scripts/install_system_packages.sh test"
        pytest.skip(f"{program} is missing: scripts/install_system_packages.sh test")


@contextlib.contextmanager
def _running(command: Sequence[str], log: Path, ready: str) -> Iterator[None]:
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:

            def answers() -> bool:
                assert process.poll() is None, log.read_text()
                with contextlib.suppress(httpx.TransportError):
                    return httpx.get(ready, timeout=5).status_code == httpx.codes.OK
                return False

            eventually(answers)
            yield
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)
