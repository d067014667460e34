"""What may not be released is said, and nothing is changed by it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from k8s.__main__ import main
from k8s.rollout.record import ModelRef
from k8s.rollout.start import begin
from tests.k8s.release.conftest import RELEASE, Bench
from tests.k8s.rollout.controller.world import QUICK
from training.registry.client import connect


def _without_alias(bench: Bench) -> None:
    connect(bench.settings).client.delete_registered_model_alias("fraud_detector", "challenger")


def _without_files(bench: Bench) -> None:
    run = connect(bench.settings).client.get_run(bench.version("2").run_id)
    shutil.rmtree(run.info.artifact_uri.removeprefix("file://") + "/artifact")


def _worse(bench: Bench) -> None:
    bench.train(0.3)


def _with_another_rollout(bench: Bench) -> None:
    controller = bench.world.controller
    begin(controller.cluster, controller.carrier.helm, "fraud", ModelRef(tag="9"), QUICK, "anna@bank", "by-hand")


CASES: list[tuple[Callable[[Bench], None], str]] = [
    (_without_alias, "no version has the alias challenger"),
    (lambda bench: bench.name("challenger", "1"), "version 1 is champion already"),
    (lambda bench: bench.tag("2", "fraud.state", "reserved"), "version 2 is not complete"),
    (lambda bench: bench.tag("2", "fraud.artifact_digest", ""), "version 2 has no artifact"),
    (_without_files, "version 2 has no artifact"),
    (
        lambda bench: bench.tag("2", "fraud.feature_schema", "other"),
        "version 2 was made for the features other, and version 1, the champion, for",
    ),
    (_worse, "the acceptance rule refuses version 3: average precision: challenger minus champion -"),
    (_with_another_rollout, "the rollout 'by-hand' of release 'fraud' is running, and no release began it"),
]


@pytest.mark.parametrize(("spoil", "said"), CASES, ids=[said[:40] for _, said in CASES])
def test_it_is_refused(
    bench: Bench, spoil: Callable[[Bench], None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(bench)
    aliases, revisions = bench.aliases(), bench.world.revisions()
    assert main([*RELEASE, "--plan", str(bench.plan)]) == 2
    assert said in capsys.readouterr().err
    assert (bench.aliases(), bench.world.revisions(), bench.done()) == (aliases, revisions, [])


def test_no_challenger_may_be_fine(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    _without_alias(bench)
    assert main([*RELEASE, "--allow-none"]) == 0
    assert "nothing: no version has the alias challenger" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["release"], "Missing option '--release'"),
        (["release", "--release", "fraud"], "give --push, or --load-command"),
        ([*RELEASE, "--finish", "--dry-run"], "--finish builds and begins nothing"),
        ([*RELEASE[:-2], "bank", "--push", "--no-wait"], "--prefix begins with a registry's host"),
        ([*RELEASE[:3], "--push", "--prefix", "r.example/x", "--release", "other"], "no release 'other'"),
    ],
)
def test_what_is_missing_is_said(
    bench: Bench, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.has_image("2")
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_a_program_that_fails_is_told_in_its_own_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMAGE_BUILDER", "no-such-builder")
    assert main([*RELEASE, "--no-wait"]) == 2
    assert "no-such-builder is needed and does not answer here" in capsys.readouterr().err
    bench.has_image("2")
    monkeypatch.setenv("IMAGE_BUILDER", "podman")
    assert main([*RELEASE, "--load-command", "no-such-loader"]) == 2
    assert "no-such-loader cannot be run: No such file" in capsys.readouterr().err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main(RELEASE) == 2
    assert "MLflow at http://127.0.0.1:9 failed (reading the aliases)" in capsys.readouterr().err


def test_no_registry(bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FRAUD_HOME", str(bench.engine))
    assert main(RELEASE) == 2
    assert "there is no registry: set MLFLOW_TRACKING_URI" in capsys.readouterr().err
    assert not (bench.engine / "mlflow.db").exists()
