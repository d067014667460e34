"""From alias challenger to alias champion: a real registry, bento and script; played cluster and image store."""

from __future__ import annotations

import json

import pytest
import yaml

from bentos.core.errors import ConfigError
from k8s.__main__ import main
from k8s.release.attempts import NOTED
from k8s.release.image import prefix_of
from k8s.rollout.state import request
from tests.k8s.release.conftest import PREFIX, RELEASE, Bench

Captured = pytest.CaptureFixture[str]


def _release(bench: Bench, *options: str) -> int:
    return main([*RELEASE, "--plan", str(bench.plan), *options])


@pytest.mark.slow
def test_an_alias_is_enough(bench: Bench, capsys: Captured) -> None:
    bench.control()
    assert _release(bench, "--output", "json", "--verdicts-url", "https://dashboard.example/rollout/") == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert (told["result"], told["version"], told["rollout"]) == ("promoted", "2", "model-2")
    tags = bench.version("2").tags
    assert tags["fraud.rollout_verdicts"] == told["verdicts"] == "https://dashboard.example/rollout/model-2"
    assert (tags["fraud.rollout_result"], tags["fraud.accepted_against"]) == ("promoted", "1")
    assert tags["fraud.rollout_image"] == f"{PREFIX}/fraud-scoring:0.1.0-model2-{tags['fraud.artifact_digest'][:12]}"
    assert tags["fraud.promotion_reason"].startswith("rollout model-2 of fraud: ")
    assert bench.version("1").tags["fraud.replaced_by"] == "2"
    assert bench.aliases() == {"champion": "2"}
    # The image holds the bento of that version, and customers have it.
    image = tags["fraud.rollout_image"]
    assert bench.done() == [f"build {image}", f"push {image}"]
    bento = yaml.safe_load((bench.engine / "registry" / image.replace("/", "_")).read_text())
    assert bento["labels"]["mlflow_model_version"] == "2"
    assert bento["labels"]["artifact_digest"].startswith(tags["fraud.artifact_digest"][:8])
    champion = bench.world.revisions()[-1]["values"]["scoring"]["champion"]
    assert f"{champion['repository']}:{champion['tag']}" == image
    assert not (bench.settings.home / "releases" / champion["tag"]).exists()
    for step in ("the acceptance rule: ", "built, pushed", "has begun", "step 2 of 2, 30 %", "is champion"):
        assert step in captured.err
    assert "promoted" in main_history(capsys)


def main_history(capsys: Captured) -> str:
    assert main(["rollout", "history"]) == 0
    return capsys.readouterr().out


@pytest.mark.slow
def test_what_is_rolled_back_is_no_challenger_any_more(bench: Bench, capsys: Captured) -> None:
    bench.has_image("2")
    assert _release(bench, "--no-wait") == 0
    assert bench.result("2") == ("running", False)
    request(bench.world.controller.cluster, bench.world.stored(), "abort", "anna@bank", "complaints")
    bench.control()
    assert _release(bench) == 1
    assert "version 2 was aborted and is no challenger any more" in capsys.readouterr().out
    assert bench.aliases() == {"champion": "1"}
    assert bench.result("2") == ("aborted", True)
    tags = bench.version("2").tags
    assert "complaints" in tags["fraud.rollout_reason"]
    assert (
        "rollout history --namespace fraud --release fraud (rollout model-2, revision "
        in tags["fraud.rollout_verdicts"]
    )
    assert bench.done() == []
    # Somebody gives it a second chance.
    bench.name("challenger", "2")
    assert _release(bench, "--output", "json") == 0
    assert json.loads(capsys.readouterr().out)["rollout"] == "model-2-2"
    assert bench.aliases() == {"champion": "2"}
    # The first try is not told of again, and whoever was made champion since stays it.
    bench.name("champion", "1")
    assert main([*RELEASE, "--finish", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"] == "nothing"
    assert bench.aliases() == {"champion": "1"}


def test_begun_followed_and_finished_by_different_calls(bench: Bench, capsys: Captured) -> None:
    bench.has_image("2")
    assert main([*RELEASE, "--finish"]) == 0
    assert "nothing: no rollout of a model version has ended" in capsys.readouterr().out
    for _ in range(2):
        assert _release(bench, "--no-wait", "--output", "json") == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["result"], told["rollout"]) == ("running", "model-2")
    assert main([*RELEASE, "--finish"]) == 0
    assert "rollout model-2 of version 2: running" in capsys.readouterr().out
    bench.world.until_over()
    assert main([*RELEASE, "--finish", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"] == "promoted"
    assert bench.aliases() == {"champion": "2"}
    assert main([*RELEASE, "--finish", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"] == "nothing"
    assert [item["values"]["scoring"]["rollout"]["name"] for item in bench.world.revisions()].count("model-2") == 3


@pytest.mark.slow
def test_an_earlier_end_is_noted_before_the_next_begins(bench: Bench, capsys: Captured) -> None:
    bench.has_image("2")
    assert _release(bench, "--no-wait") == 0
    bench.world.until_over()
    bench.train(1.0)
    bench.has_image("3")
    assert _release(bench, "--no-wait") == 0
    assert bench.aliases() == {"champion": "2", "challenger": "3"}
    assert (bench.result("2"), bench.result("3")) == (("promoted", True), ("running", False))
    bench.world.until_over()
    assert main([*RELEASE, "--finish"]) == 0
    # Whoever is noted late was champion, and is not any more.
    bench.tag("2", NOTED, "")
    assert main([*RELEASE, "--finish"]) == 0
    assert "version 2 was promoted and is no challenger any more" in capsys.readouterr().out
    assert bench.aliases() == {"champion": "3"}


@pytest.mark.slow
def test_a_dry_run_changes_nothing(bench: Bench, capsys: Captured) -> None:
    before = bench.version("2").tags, dict(bench.world.api.objects), bench.world.revisions()
    assert _release(bench, "--dry-run") == 0
    told = capsys.readouterr().out
    tag = f"0.1.0-model2-{bench.version('2').tags['fraud.artifact_digest'][:12]}"
    for said in (
        "version 2 is challenger, 1 champion",
        f"{PREFIX}/fraud-scoring:{tag} is: nowhere",
        "would begin the rollout model-2 of fraud: shadow, 30 %",
    ):
        assert said in told
    assert (bench.version("2").tags, bench.world.api.objects, bench.world.revisions()) == before
    assert bench.done() == []
    bench.has_image("2")
    assert _release(bench, "--no-wait") == 0
    capsys.readouterr()
    assert _release(bench, "--dry-run") == 0
    assert "would follow the rollout model-2 of version 2" in capsys.readouterr().out
    bench.world.until_over()
    bench.train(1.0)
    assert _release(bench, "--dry-run") == 0
    assert "would note that version 2 was promoted" in capsys.readouterr().out
    assert bench.result("2") == ("running", False)


def test_an_image_that_is_here_is_pushed_and_one_that_is_loaded_is_named(bench: Bench, capsys: Captured) -> None:
    tag = bench.has_image("2")
    image = f"{PREFIX}/fraud-scoring:{tag}"
    place = bench.engine / "registry" / image.replace("/", "_")
    place.rename(bench.engine / "here" / place.name)
    assert _release(bench, "--no-wait", "--load-command", "podman load") == 0
    assert bench.done() == [f"push {image}", f"load {image}"]
    assert "was built before, loaded, pushed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("registry", "champion", "scoring", "prefix"),
    [
        ("ghcr.io/bank/fraud", "", "fraud-scoring", "ghcr.io/bank/fraud"),
        ("ghcr.io/bank/", "team/fraud-scoring@sha256:00", "fraud-scoring", "ghcr.io/bank/team"),
        ("ghcr.io/bank", "localhost/fraud-scoring", "fraud-scoring", "localhost"),
        ("", "r.example:5000/a/fraud-scoring", "x", "r.example:5000/a"),
        ("", "", "fraud-scoring", None),
        ("ghcr.io/bank", "scorer", "fraud-scoring", None),
    ],
)
def test_the_registry_is_the_releases_own(registry: str, champion: str, scoring: str, prefix: str | None) -> None:
    images = {"registry": registry, "scoring": {"repository": scoring}}
    values = {"global": {"images": images}, "scoring": {"champion": {"repository": champion}}}
    if prefix is not None:
        assert prefix_of(values) == prefix
    else:
        with pytest.raises(ConfigError, match="name it with --prefix"):
            prefix_of(values)
