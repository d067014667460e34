"""Rules by Prometheus' own tools: every alert fires when it should, and is silent when it should."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bentos.core.errors import ConfigError
from k8s.monitoring.files import FOLDER, RULES, made_files, rules
from k8s.monitoring.objectives import Objectives

ROOT = Path(__file__).parents[3]
RUNBOOKS = ROOT / "docs" / "runbooks"
CASES = Path(__file__).parent / "cases"
ALERTS = {rule["alert"]: rule for group in rules(Objectives())["groups"] for rule in group["rules"] if "alert" in rule}
#: What each runbook answers.
HEADINGS = ["## What it means", "## What customers see", "## Check", "## Mend", "## Escalate"]
SCOPES = {"series": 'namespace="fraud",release="fraud"', "labels": "namespace: fraud, release: fraud"}


def cases(alert: str) -> dict[str, list[dict[str, Any]]]:
    """When an alert fires, and when not."""
    text = (CASES / f"{alert}.yaml").read_text()
    assert not re.search(r"(?<!\+)\b0x", text), "promtool takes 0x20 for one sample of 32; 0+0x20 are 21 of 0"
    text = re.sub(r"(labels: \{.*?)SCOPE\}", rf"\g<1>{SCOPES['labels']}}}", text)
    return dict(yaml.safe_load(text.replace("SCOPE", SCOPES["series"])))


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool; skips where it is missing, but not in CI."""
    if shutil.which("promtool") is None:
        assert "CI" not in os.environ, "promtool is missing: scripts/install_system_packages.sh test"
        pytest.skip("promtool is missing: scripts/install_system_packages.sh test")
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def unit_test(alert: str, case: dict[str, Any], fires: bool) -> dict[str, Any]:
    """A test of promtool's."""
    rule = ALERTS[alert]
    told = {
        "exp_labels": {**rule["labels"], **case.get("labels", {})},
        "exp_annotations": {**rule["annotations"], "description": case.get("says")},
    }
    return {
        "name": case["title"],
        "interval": case.get("interval", "1m"),
        "input_series": [{"series": series, "values": values} for series, values in case["series"].items()],
        "alert_rule_test": [
            {"eval_time": case["at"], "alertname": alert, **({"exp_alerts": [told]} if fires else {"exp_alerts": []})}
        ],
    }


def alone(alert: str) -> dict[str, Any]:
    """A group of an alert and what it is made from: all rules, each minute of some days, take promtool minutes."""
    packed = yaml.safe_load((FOLDER / RULES).read_text())["groups"]
    (group,) = [group for group in packed if any(rule.get("alert") == alert for rule in group["rules"])]
    rules = [rule for rule in group["rules"] if rule.get("alert") == alert or rule.get("record", "-") in needed(alert)]
    return {"name": group["name"], "rules": rules}


def needed(alert: str) -> set[str]:
    """The recorded numbers that an alert looks at."""
    return set(re.findall(r"\b\w+:\w+:\w+\b", ALERTS[alert]["expr"]))


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_an_alert_fires_when_it_should_and_only_then(alert: str, tmp_path: Path) -> None:
    file = CASES / f"{alert}.yaml"
    assert file.is_file(), f"{alert} has no cases: write {file.relative_to(ROOT)}, as its neighbours are"
    known = cases(alert)
    assert known["fires"], "no case in which it fires"
    assert known["silent"], "no case in which it does not"
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [alone(alert)]}))
    for kind in ("fires", "silent"):
        for number, case in enumerate(known[kind]):
            document = {
                "rule_files": ["rules.yaml"],
                "evaluation_interval": case.get("interval", "1m"),
                "tests": [unit_test(alert, case, kind == "fires")],
            }
            (tmp_path / f"{kind}_{number}.yaml").write_text(yaml.safe_dump(document))
    ended = promtool("test", "rules", *sorted(tmp_path.glob("*_*.yaml")))
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_an_alert_has_a_runbook(alert: str) -> None:
    file = RUNBOOKS / f"{alert}.md"
    headings = "\n\n".join(f"{heading}\n…" for heading in HEADINGS)
    assert file.is_file(), f"{alert} has no runbook: write {file.relative_to(ROOT)} as\n# {alert}\n\n{headings}"
    text = file.read_text()
    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"^## .*$", text, re.MULTILINE) == HEADINGS
    for heading, body in zip(HEADINGS, re.split(r"^## .*$", text, flags=re.MULTILINE)[1:], strict=True):
        assert len(body.split()) >= 5, f"{heading} says nothing"
    assert ALERTS[alert]["annotations"]["runbook_url"] == str(file.relative_to(ROOT))


def test_nothing_is_left_of_alerts_that_are_no_more() -> None:
    assert {file.stem for file in CASES.glob("*")} == set(ALERTS)
    assert {file.stem for file in RUNBOOKS.glob("*.md")} - {"README"} == set(ALERTS)


def test_the_chart_packs_what_is_made_here() -> None:
    for path, text in made_files(Objectives()).items():
        assert (FOLDER / path).read_text() == text, f"{path} is out of date: python -m k8s monitoring"
    packed = {path.relative_to(FOLDER) for path in (FOLDER / "dashboards").iterdir()}
    assert packed == {path for path in made_files(Objectives()) if path.parent.name == "dashboards"}


@pytest.mark.parametrize("scale", [1.0, 1 / 60])
def test_prometheus_takes_the_rules(scale: float, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(made_files(Objectives(time_scale=scale))[RULES])
    ended = promtool("check", "rules", tmp_path / "rules.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_windows_are_scaled_together_and_keep_their_names() -> None:
    group = rules(Objectives(time_scale=1 / 60))["groups"][0]
    by_name = {rule.get("record"): rule["expr"] for rule in group["rules"]}
    assert "[60s]" in by_name["release:fraud_errors:ratio_rate1h"]
    assert "[4320s]" in by_name["release:fraud_errors:ratio_rate3d"]


def test_a_window_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="such as 30m; got '1w'"):
        Objectives().span("1w")


def test_dashboards_are_whole() -> None:
    seen = set()
    for path, text in made_files(Objectives()).items():
        if path.parent.name != "dashboards":
            continue
        board = json.loads(text)
        assert board["uid"] not in seen
        seen.add(board["uid"])
        taken = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            assert max(x for x, _ in cells) < 24
            taken |= cells
            assert panel["targets"]
            assert all("SCOPE" not in target["expr"] for target in panel["targets"])
    assert seen == {"fraud-service", "fraud-model"}
