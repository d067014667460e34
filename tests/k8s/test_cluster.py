"""The connection: which cluster, and what is said when it is not there or refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.core.errors import (
    ConfigError,
    Conflict,
    FraudError,
    InvalidInput,
    NotAllowed,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from k8s.__main__ import main
from k8s.cluster import connect
from tests.k8s.api import kubeconfig, serving, status
from tests.ports import free_port


def test_without_a_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    assert main(["train", "s3://bank/t.parquet"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: no cluster to talk to: {tmp_path / 'nothing'} cannot be used (")
    assert "set KUBECONFIG to a cluster's file" in told


def test_a_context_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, "http://127.0.0.1:1")))
    with pytest.raises(ConfigError, match="choose one of its contexts with --context"):
        connect("elsewhere")
    assert connect("here").namespace == "fraud"
    assert connect("here", "other").namespace == "other"


def test_a_cluster_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, f"http://127.0.0.1:{port}")))
    assert main(["bulk", "s3://a/b", "s3://a/c"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: the cluster at http://127.0.0.1:{port} does not answer")
    assert "Connection refused" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "said", "kind", "words"),
    [
        (401, "Unauthorized", Unauthenticated, "does not know who asks (401 Unauthorized): log in to it again"),
        (403, 'jobs.batch is forbidden: User "u" cannot create', NotAllowed, "docs/jobs_on_kubernetes.md lists"),
        (403, 'jobs "x" is forbidden: exceeded quota: few', NotAllowed, "the namespace's quota is used up: jobs"),
        (404, 'namespaces "x" not found', NotFound, 'answers 404: namespaces "x" not found'),
        (409, "already exists", Conflict, "answers 409: already exists"),
        (422, "spec.template: Invalid value", InvalidInput, "spec.template: Invalid value"),
        (500, "etcd is away", Unavailable, "answers 500: etcd is away"),
    ],
)
def test_what_a_cluster_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str, kind: type[FraudError], words: str
) -> None:
    with serving(lambda _method, _path: status(code, said)) as address:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, address)))
        with pytest.raises(kind) as raised:
            connect().create_job({"metadata": {"name": "x"}})
    assert words in str(raised.value)


def test_what_is_gone_need_not_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(method: str, path: str) -> tuple[int, bytes, bool]:
        asked.append(f"{method} {path}")
        return status(404, "not found")

    with serving(answer) as address:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, address)))
        cluster = connect()
        cluster.delete_job("train")
        assert cluster.job("train") is None
        assert cluster.cron_job("train") is None
    assert asked[0] == "DELETE /apis/batch/v1/namespaces/fraud/jobs/train?propagationPolicy=Foreground"
