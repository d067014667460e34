"""Alertmanager's configuration, as the chart renders it, by Alertmanager's own tools and by Alertmanager itself."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.helm.charts import find, render
from tests.servers.prometheus import running_alertmanager
from tests.waiting import eventually

SLACK = {"slack": {"existingSecret": "slack"}}
MODEL = {"slack": {"existingSecret": "slack", "modelKey": "model-url"}}
DUTY = {"pagerDuty": {"existingSecret": "duty"}}
VALUES: dict[str, dict[str, Any]] = {
    "nobody": {},
    "slack": SLACK,
    "two channels": MODEL,
    "duty": DUTY,
    "all": MODEL | DUTY,
}
#: By severity and team.
TOLD = {
    "nobody": {("critical", "platform"): "nobody", ("warning", "model"): "nobody"},
    "slack": {("critical", "platform"): "platform", ("warning", "model"): "platform"},
    "two channels": {("critical", "platform"): "platform", ("warning", "model"): "model"},
    "duty": {("critical", "platform"): "duty,nobody", ("warning", "platform"): "nobody"},
    "all": {
        ("critical", "platform"): "duty,platform",
        ("warning", "platform"): "platform",
        ("warning", "model"): "model",
    },
}


def amtool(*arguments: str | Path) -> str:
    """Run amtool; skips where it is missing, but not in CI."""
    if shutil.which("amtool") is None:
        assert "CI" not in os.environ, "amtool is missing: scripts/install_system_packages.sh test"
        pytest.skip("amtool is missing: scripts/install_system_packages.sh test")
    ended = subprocess.run(["amtool", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def write_configuration(folder: Path, values: dict[str, Any]) -> Path:
    """The configuration of a release, with its templates beside it."""
    data = find(render({"monitoring": {"alertmanager": values}}), "ConfigMap", "fraud-alertmanager")["data"]
    for name, text in data.items():
        (folder / name).write_text(text.replace("/etc/alertmanager", str(folder / "etc")).replace("/etc/*", "/*"))
    return folder / "alertmanager.yml"


@pytest.mark.parametrize("case", VALUES)
def test_alertmanager_takes_it_and_tells_whom_it_should(case: str, tmp_path: Path) -> None:
    file = write_configuration(tmp_path, VALUES[case])
    assert "SUCCESS" in amtool("check-config", file)
    for (severity, team), receivers in TOLD[case].items():
        labels = [f"severity={severity}", f"team={team}", "alertname=FraudOverload"]
        assert amtool("config", "routes", "test", "--config.file", file, *labels).strip() == receivers


def test_receivers_read_what_the_pod_mounts() -> None:
    objects = render({"monitoring": {"alertmanager": MODEL | DUTY}})
    configuration = yaml.safe_load(find(objects, "ConfigMap", "fraud-alertmanager")["data"]["alertmanager.yml"])
    receivers = {item["name"]: item for item in configuration["receivers"]}
    spec = find(objects, "Deployment", "fraud-alertmanager")["spec"]["template"]["spec"]
    mounts = {item["name"]: item["mountPath"] for item in spec["containers"][0]["volumeMounts"]}
    volumes = {item["name"]: item.get("secret", {}).get("secretName") for item in spec["volumes"]}
    assert receivers["platform"]["slack_configs"][0]["api_url_file"] == f"{mounts['slack']}/url"
    assert receivers["model"]["slack_configs"][0]["api_url_file"] == f"{mounts['slack']}/model-url"
    assert receivers["duty"]["pagerduty_configs"][0]["routing_key_file"] == f"{mounts['pagerduty']}/routing-key"
    assert (volumes["slack"], volumes["pagerduty"]) == ("slack", "duty")


def test_what_is_inhibited_is_an_alert() -> None:
    configuration = yaml.safe_load(find(render(), "ConfigMap", "fraud-alertmanager")["data"]["alertmanager.yml"])
    rules = yaml.safe_load(find(render(), "ConfigMap", "fraud-prometheus")["data"]["rules.yaml"])
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    named = str(configuration["inhibit_rules"])
    for word in named.replace('"', " ").replace("|", " ").replace("'", " ").split():
        assert not word.isalpha() or not word.startswith("Fraud") or word in alerts, f"{word} is no alert"


def test_alerts_link_to_where_runbooks_are() -> None:
    values = {"monitoring": {"runbooksUrl": "https://wiki.example.com/fraud/"}}
    rules = yaml.safe_load(find(render(values), "ConfigMap", "fraud-prometheus")["data"]["rules.yaml"])
    links = {
        rule["annotations"]["runbook_url"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule
    }
    assert "https://wiki.example.com/fraud/FraudOverload.md" in links
    assert all(link.startswith("https://wiki.example.com/fraud/Fraud") for link in links)


def test_rules_of_one_s_own_take_the_place_of_the_chart_s() -> None:
    own = {"groups": [{"name": "own", "rules": [{"record": "a:b:c", "expr": "1"}]}]}
    objects = render({"monitoring": {"rules": yaml.safe_dump(own)}})
    assert yaml.safe_load(find(objects, "ConfigMap", "fraud-prometheus")["data"]["rules.yaml"]) == own


def alert(name: str, **labels: str) -> dict[str, Any]:
    """An alert as Prometheus sends it."""
    known = {"alertname": name, "namespace": "fraud", "release": "fraud", "severity": "critical", "team": "platform"}
    return {
        "labels": {**known, **labels},
        "annotations": {"summary": "It fails.", "description": "5% fail.", "runbook_url": f"docs/runbooks/{name}.md"},
    }


def test_a_channel_is_told_what_is_wrong_and_not_what_follows(tmp_path: Path) -> None:
    """Alertmanager itself, with the chart's configuration and a channel of the test's own."""
    file = write_configuration(tmp_path, SLACK)
    file.write_text(file.read_text().replace("group_wait: 30s", "group_wait: 1s"))
    with receiving() as (url, messages):
        (tmp_path / "etc-slack").mkdir()
        (tmp_path / "etc-slack" / "url").write_text(url)
        with running_alertmanager(tmp_path / "server", file) as server:
            alerts = [alert("FraudServiceDown"), alert("FraudPodDown", severity="warning"), alert("FraudOverload")]
            httpx.post(f"{server}/api/v2/alerts", json=alerts, timeout=30).raise_for_status()
            other = [alert("FraudOverload", release="other", severity="warning")]
            httpx.post(f"{server}/api/v2/alerts", json=other, timeout=30).raise_for_status()
            eventually(lambda: len(messages) == 2)
            states = httpx.get(f"{server}/api/v2/alerts", timeout=30).json()
    told = {message["attachments"][0]["title"]: message["attachments"][0] for message in messages}
    assert set(told) == {
        "FraudServiceDown (fraud/fraud): It fails.",
        "FraudOverload (fraud/other): It fails.",
    }
    down = told["FraudServiceDown (fraud/fraud): It fails."]
    assert down["text"] == "5% fail.\ndocs/runbooks/FraudServiceDown.md"
    assert down["color"] == "danger"
    silenced = {item["labels"]["alertname"] for item in states if item["status"]["inhibitedBy"]}
    assert silenced == {"FraudPodDown", "FraudOverload"}


@contextlib.contextmanager
def receiving() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook of a channel: its URL, and what it got."""
    messages: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", messages
        finally:
            server.shutdown()
            thread.join()
