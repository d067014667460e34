"""The command line, against a played cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from k8s.__main__ import main
from tests.k8s.rollout.controller.world import World

START = ["rollout", "start", "--release", "fraud", "--tag", "2", "--name", "first"]


def test_start_says_what_it_needs_and_status_what_it_is(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(START) == 0
    told = capsys.readouterr().out
    assert "labelled frauds" in told
    assert "rollout first of fraud: 1 -> 2" in " ".join(told.split())
    assert main(["rollout", "status", "--output", "json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert (read["name"], read["phase"], read["schema_version"]) == ("first", "running", 1)
    assert main([*START[:-1], "second"]) == 2
    assert "one rollout at a time" in capsys.readouterr().err


def test_what_is_asked_for_is_obeyed_and_told(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(START) == 0
    assert main(["rollout", "abort", "--why", "a mistake"]) == 0
    assert "abort of rollout first is asked for" in " ".join(capsys.readouterr().out.split())
    world.until_over()
    for ending, begins in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        picture = tmp_path / f"rollout{ending}"
        assert main(["rollout", "history", "--output", "json", "--picture", str(picture)]) == 0
        assert picture.read_bytes().startswith(begins)
        (only,) = json.loads(capsys.readouterr().out)
        assert only["changes"][-1]["phase"] == "aborted"
        assert "a mistake" in only["changes"][-1]["reason"]
    assert main(["rollout", "watch"]) == 1
    assert main(["rollout", "pause"]) == 2
    assert "'first' is aborted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rollout", "status"], "no rollout of any release in namespace 'fraud'"),
        ([*START, "--follow"], "--follow looks at counters: give --prometheus URL"),
        ([*START[:-1], "Not a name"], "small letters, digits and dashes, got 'Not a name'"),
        ([*START, "--plan", "/nowhere.yaml"], "the plan /nowhere.yaml cannot be read"),
    ],
)
def test_what_is_refused(world: World, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
