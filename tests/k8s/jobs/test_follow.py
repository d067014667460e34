"""Staying with a Job: what is waited for, what is not, and connections that break off."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from k8s.cluster import connect
from k8s.jobs.follow import follow
from k8s.jobs.logs import Logs
from k8s.jobs.screen import Screen
from tests.k8s.api import Answer, kubeconfig, serving, status


class _Life:
    """A Job whose every look is the next of a list; the last one stays."""

    def __init__(self, *looks: dict[str, Any] | Answer, pods: list[dict[str, Any]] | None = None) -> None:
        self._looks = list(looks)
        self._pods = pods or []
        self.asked: list[str] = []

    def answer(self, _method: str, path: str) -> Answer:
        self.asked.append(path)
        if "/events" in path:
            return status(403, "events is forbidden")
        if "/log" in path:
            return 200, b"2026-05-01T00:00:00Z hello\n", False
        if "/pods" in path:
            return _found({"items": self._pods})
        look = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        return look if isinstance(look, tuple) else _found(look)


def _found(item: dict[str, Any]) -> Answer:
    return 200, json.dumps(item).encode(), False


def _job(**state: Any) -> dict[str, Any]:
    return {"metadata": {"name": "train", "uid": "job"}, "spec": {"activeDeadlineSeconds": 60}, "status": state}


def _pod(state: dict[str, Any]) -> dict[str, Any]:
    container = {"name": "training", "image": "fraud-workers:1", "state": state}
    return {
        "metadata": {"name": "train-x", "uid": "pod", "creationTimestamp": "2026-05-01T00:00:00Z"},
        "spec": {"containers": [{"name": "training"}]},
        "status": {"containerStatuses": [container]},
    }


COMPLETE = _job(succeeded=1, conditions=[{"type": "Complete", "status": "True"}])
PENDING = {"status": {}, "spec": {"containers": []}, "metadata": {"name": "p", "uid": "u", "creationTimestamp": ""}}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("k8s.jobs.follow._PERIOD_SECONDS", 0.01)

    def run(life: _Life, start_seconds: float = 60) -> Any:
        with serving(life.answer) as address, Screen() as screen:
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, address)))
            return follow(connect(), _job(), screen, start_seconds=start_seconds)

    return run


def test_a_job_that_completes(here: Any, capsys: pytest.CaptureFixture[str]) -> None:
    life = _Life(_job(active=1), COMPLETE, pods=[_pod({"running": {}})])
    ended = here(life)
    assert (ended.status, ended.reason) == ("complete", "")
    told = capsys.readouterr()
    # One pod's lines stand as they are, and come once.
    assert told.out == "hello\n"
    assert "train: 0 of 1 done, 1 running or waiting" in told.err
    assert sum("/log" in path for path in life.asked) == 1


def test_a_cluster_that_is_away_for_a_while(here: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ended = here(_Life(_job(active=1), status(500, "etcd is away"), status(503, "starting"), COMPLETE))
    assert ended.status == "complete"
    assert capsys.readouterr().err.count("the Job goes on, trying again") == 1


def test_a_deadline(here: Any) -> None:
    condition = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "was active longer"}
    ended = here(_Life(_job(conditions=[condition])))
    assert (ended.status, ended.reason) == ("failed", "it took longer than 60 s (--timeout)")


def test_failed_shares_are_named_with_the_last_reason(here: Any) -> None:
    condition = {"type": "Failed", "status": "True", "reason": "FailedIndexes", "message": "Job has failed indexes"}
    pods = [_pod({"terminated": {"exitCode": 1, "reason": "Error"}})]
    ended = here(_Life(_job(conditions=[condition], failedIndexes="2,5-7"), pods=pods))
    assert ended.reason == "Job has failed indexes, shares 2,5-7; pod train-x failed: exit code 1"


def test_a_condition_that_is_not_true_yet(here: Any) -> None:
    waiting = _job(
        active=1, conditions=[{"type": "Failed", "status": "False"}, {"type": "FailureTarget", "status": "True"}]
    )
    assert here(_Life(waiting, waiting, COMPLETE)).status == "complete"


def test_a_job_that_is_deleted(here: Any) -> None:
    assert here(_Life(_job(active=1), status(404, "not found"))).status == "deleted"
    going = _job(active=1)
    going["metadata"] |= {"deletionTimestamp": "2026-05-01T00:00:00Z"}
    assert here(_Life(going)).status == "deleted"


def test_what_never_begins_is_given_up_without_the_right_to_read_events(here: Any) -> None:
    ended = here(_Life(_job(active=1), pods=[PENDING]), start_seconds=0.05)
    assert ended.status == "stuck"
    assert ended.reason == "nothing ran for 0.05 s: no pod was started, and nobody says why"


def test_what_has_begun_may_wait_for_its_next_pod(here: Any) -> None:
    """Between a pod that failed and the next one there is a pause, which grows."""
    failed = [_pod({"terminated": {"exitCode": 1}})]
    looks = [_job(active=0, failed=1)] * 30
    assert here(_Life(*looks, COMPLETE, pods=failed), start_seconds=0.05).status == "complete"


def test_a_log_that_breaks_off_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"2026-05-01T00:00:00.{number:09d}Z line {number}\n" for number in range(20)).encode()
    cuts = iter([text.index(b" line 3"), text.index(b"\n", text.index(b" line 11")) + 1])

    def answer(_method: str, _path: str) -> Answer:
        cut = next(cuts, None)
        return (200, text, False) if cut is None else (200, text[:cut], True)

    monkeypatch.setattr("k8s.jobs.logs._PAUSE_SECONDS", 0.01)
    shown: list[tuple[str, str]] = []
    done = threading.Event()

    def show(pod: str, line: str) -> None:
        shown.append((pod, line))
        if line == "line 19":
            done.set()

    with serving(answer) as address:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, address)))
        logs = Logs(connect(), show)
        logs.follow("train-x")
        assert done.wait(60)
        logs.finish(60)
    assert shown == [("train-x", f"line {number}") for number in range(20)]
