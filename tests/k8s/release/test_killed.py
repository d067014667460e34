"""Killed before each of its calls to registry and cluster, a release goes on with the next command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from k8s.__main__ import main
from k8s.cluster import Cluster
from k8s.release.registry import Registry
from k8s.rollout.state import request
from tests.k8s.release.conftest import RELEASE, Bench


class _Killed(BaseException):
    """Ends a process anywhere; nothing catches it."""


@contextmanager
def _killing(monkeypatch: pytest.MonkeyPatch, after: int) -> Iterator[list[int]]:
    """Let the n-th call from now on, to MLflow or the cluster, be the last."""
    calls = [0]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] == after:
                raise _Killed
            return call(*arguments, **options)

        return wrapped

    with monkeypatch.context() as patched:
        patched.setattr(Registry, "_translated", counted(Registry._translated))
        patched.setattr(Cluster, "ask", counted(Cluster.ask))
        yield calls


@pytest.mark.slow
@pytest.mark.parametrize("ends", ["promoted", "aborted"])
def test_noting_an_end_may_be_killed_anywhere(
    bench: Bench, ends: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.has_image("2")
    assert main([*RELEASE, "--plan", str(bench.plan), "--no-wait"]) == 0
    if ends == "aborted":
        request(bench.world.controller.cluster, bench.world.stored(), "abort", "anna@bank")
    bench.world.until_over()
    before = bench.aliases(), bench.version("2").tags
    kills = 0
    while True:
        kills += 1
        try:
            with _killing(monkeypatch, kills):
                main([*RELEASE, "--finish"])
            break
        except _Killed:
            assert main([*RELEASE, "--finish"]) in {0, 1}
        assert bench.result("2") == (ends, True)
        assert bench.aliases() == {"champion": "2" if ends == "promoted" else "1"}
        _undo(bench, *before)
    assert kills > 6


def _undo(bench: Bench, aliases: dict[str, str], tags: Any) -> None:
    """The registry as it was when the rollout ended."""
    from training.registry.client import connect

    client = connect(bench.settings).client
    for name in set(bench.version("2").tags) - set(tags):
        client.delete_model_version_tag("fraud_detector", "2", name)
    for name, number in aliases.items():
        bench.name(name, number)


@pytest.mark.slow
def test_beginning_may_be_killed_anywhere(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.has_image("2")
    monkeypatch.setattr("k8s.release.flow.accepted", lambda _version: "asked once, which takes seconds")
    fresh = dict(bench.world.api.objects)
    begin = [*RELEASE, "--plan", str(bench.plan), "--no-wait", "--output", "json"]
    kills = 0
    while True:
        kills += 1
        bench.world.api.objects = dict(fresh)
        try:
            with _killing(monkeypatch, kills):
                main(begin)
            break
        except _Killed:
            capsys.readouterr()
            assert main(begin) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["result"], told["rollout"]) == ("running", "model-2")
        assert [item.name for item in bench.world.stored().all] == ["model-2"]
    assert kills > 8


def test_ctrl_c_stops_following_and_not_the_rollout(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.has_image("2")

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        # Its own name of the module: others sleep too.
        patched.setattr("k8s.release.following.time", SimpleNamespace(sleep=interrupted))
        assert main([*RELEASE, "--plan", str(bench.plan)]) == 130
    assert "a rollout that has begun goes on: the same command follows it again" in capsys.readouterr().err
    current = bench.world.stored().current
    assert current is not None
    assert (current.name, current.over) == ("model-2", False)
    bench.control()
    assert main([*RELEASE, "--plan", str(bench.plan)]) == 0
    assert "the rollout model-2 of version 2 is under way" in capsys.readouterr().out
