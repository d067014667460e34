"""The schedule as people see it, and what is asked for before a release is changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from k8s.__main__ import main
from tests.helm.charts import find, render
from tests.k8s.api import Answer, kubeconfig, serving, status

VALUES = {"jobs": {"retraining": {"enabled": True, "transactions": "s3://bank/t.parquet", "suspend": True}}}


class _Release:
    """A release's objects, and two trainings of which the schedule began one."""

    def __init__(self, values: dict[str, Any] | None) -> None:
        self._objects = render(values, profile="local")
        self._cron = find(self._objects, "CronJob", "fraud-retraining") if values else None

    def answer(self, _method: str, path: str) -> Answer:
        if "/podtemplates" in path:
            return _found({"items": [find(self._objects, "PodTemplate", "fraud-training")]})
        if "/cronjobs/" in path:
            if self._cron is None:
                return status(404, "not found")
            metadata = self._cron["metadata"] | {"uid": "cron"}
            return _found(self._cron | {"metadata": metadata, "status": {"lastScheduleTime": "2026-05-04T03:00:00Z"}})
        jobs = [("fraud-retraining-1", "cron"), ("fraud-train-2", "somebody")]
        items = [
            {
                "metadata": {"name": name, "ownerReferences": [{"uid": owner}]},
                "status": {"startTime": "t", "conditions": [{"type": "Failed", "status": "True"}]},
            }
            for name, owner in jobs
        ]
        return _found({"items": items})


def _found(item: dict[str, Any]) -> Answer:
    return 200, json.dumps(item).encode(), False


def test_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(_Release(VALUES).answer) as address:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, address)))
        assert main(["retrain-schedule", "show"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "fraud-retraining: 0 3 * * 1 (Etc/UTC), suspended",
        "runs      python -m training run s3://bank/t.parquet --no-promote --model forest --model network",
        "last      2026-05-04T03:00:00Z, successful never",
        "training  fraud-retraining-1 began t: failed",
    ]


def test_no_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(_Release(None).answer) as address:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, address)))
        assert main(["retrain-schedule", "show"]) == 0
        assert main(["retrain-schedule", "show", "--output", "json"]) == 0
    assert capsys.readouterr().out == "there is no schedule\nnull\n"


def test_what_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["retrain-schedule", "set", "0 3 * * 1"]
    release = _Release(None)
    assert main([*place, "t.parquet"]) == 2
    assert "t.parquet is a path of this machine" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    with serving(release.answer) as address:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, address)))
        assert main([*place, "s3://bank/t.parquet"]) == 2
    assert "helm is not on PATH: install Helm 3.14 or 4" in capsys.readouterr().err
