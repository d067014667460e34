"""What commands ask of a release before anything is started."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from k8s.__main__ import main
from tests.helm.charts import render
from tests.k8s.api import Answer, kubeconfig, serving, status


class _Releases:
    """The PodTemplates of releases, and nothing that takes Jobs."""

    def __init__(self) -> None:
        self.templates: list[dict[str, Any]] = []

    def add(self, profile: str, release: str = "fraud", values: dict[str, Any] | None = None) -> None:
        objects = render(values, profile=profile, release=release)
        self.templates += [item for item in objects if item["kind"] == "PodTemplate"]

    def answer(self, method: str, path: str) -> Answer:
        if "/podtemplates" not in path:
            return status(403, f"{method} is forbidden here")
        kind = "training" if "component%3Dtraining" in path else "bulk"
        wanted = [item for item in self.templates if item["metadata"]["labels"]["app.kubernetes.io/component"] == kind]
        return 200, json.dumps({"items": wanted}).encode(), False


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Releases]:
    made = _Releases()
    with ExitStack() as stack:
        address = stack.enter_context(serving(made.answer))
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, address)))
        yield made


TRAIN = ["train", "s3://bank/t.parquet"]
BULK = ["bulk", "claim://days", "claim://scores"]


def _told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    return capsys.readouterr().err


def test_no_release(releases: _Releases, capsys: pytest.CaptureFixture[str]) -> None:
    told = _told(TRAIN, capsys)
    assert told.startswith(
        "error: there is no release of helm/fraud-platform in namespace 'fraud' of http://127.0.0.1:"
    )
    assert "choose another with --namespace or --context" in told


def test_several_releases(releases: _Releases, capsys: pytest.CaptureFixture[str]) -> None:
    releases.add("local")
    releases.add("local", "other")
    assert "choose one with --release (fraud, other)" in _told(TRAIN, capsys)
    assert "there is no release 'third'" in _told([*TRAIN, "--release", "third"], capsys)
    # This one is found, and then the Job is not allowed.
    assert "POST is forbidden here" in _told([*TRAIN, "--release", "other"], capsys)


def test_a_path_of_this_machine(releases: _Releases, capsys: pytest.CaptureFixture[str]) -> None:
    releases.add("local")
    assert "var/t.parquet is a path of this machine" in _told(["train", "var/t.parquet"], capsys)
    assert "scores is a path of this machine" in _told(["bulk", "s3://bank/days", "scores"], capsys)


def test_a_release_without_mlflow(releases: _Releases, capsys: pytest.CaptureFixture[str]) -> None:
    releases.add("default", values={"mlflow": {"enabled": False}, "dashboard": {"mlflowUrl": "none"}})
    assert "the release 'fraud' has no MLflow, so what is trained would be lost" in _told(TRAIN, capsys)
    assert "has no MLflow" in _told(["tune", "s3://bank/t.parquet"], capsys)


def test_a_release_with_embedded_stores(releases: _Releases, capsys: pytest.CaptureFixture[str]) -> None:
    releases.add("default")
    assert "2 pods need a study in PostgreSQL, and the release 'fraud' keeps" in _told(
        ["tune", "s3://bank/t.parquet"], capsys
    )
    assert "keeps features in a file of its scoring pod" in _told(BULK, capsys)
    # One pod needs no shared study.
    assert "POST is forbidden here" in _told(["tune", "s3://bank/t.parquet", "--workers", "1"], capsys)


@pytest.mark.parametrize("quantity", ["much", "2 Gi", "-1"])
def test_a_quantity_that_is_none(releases: _Releases, quantity: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"'{quantity}' is no quantity of Kubernetes, such as 500m or 2Gi" in _told(
        [*TRAIN, f"--memory={quantity}"], capsys
    )
