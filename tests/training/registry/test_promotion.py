from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bentos.core.artifact import read_artifact
from bentos.core.errors import RegistryError
from bentos.core.settings import TrainingSettings
from tests.training.registry.standins import train_and_record
from training.evaluate.intervals import Interval
from training.registry import champion as champion_files
from training.registry.acceptance import AcceptanceRule, Candidate, Comparison, judge
from training.registry.champion import champion_folder, placed_version, prepared, switch
from training.registry.client import connect
from training.registry.promotion import promote
from training.registry.versions import list_versions, resolve

SCHEMA = "s1"
GOOD = Candidate("2", SCHEMA, "d", "later", 0.60, 0.90, 0.03, "ok")
OLD = replace(GOOD, version="1")


def _interval(mean: float, half: float) -> Interval:
    return Interval(mean, half / 2, mean - half, mean + half, 500, 0.9, "bootstrap")


SAME = Comparison("r", "r", 5000, 150, _interval(0.0, 0.01), _interval(0.0, 0.0005), (0.004, 0.004))


def test_an_equal_challenger_is_accepted_with_its_numbers() -> None:
    verdict = judge(GOOD, OLD, SAME, served_schema=SCHEMA)
    assert verdict.accepted
    assert verdict.reasons == ""
    text = " ".join(item.text for item in verdict.findings)
    assert "challenger minus champion +0.0000, 90% interval -0.0100 to +0.0100" in text
    assert "5,000 rows with 150 frauds" in text


@pytest.mark.parametrize(
    ("challenger", "comparison", "failed"),
    [
        (replace(GOOD, feature_schema="s0"), SAME, "feature schema"),
        (replace(GOOD, overfitting="fail"), SAME, "overfitting"),
        (GOOD, None, "comparison"),
        (GOOD, replace(SAME, champion_rows="other"), "same held-out rows"),
        (GOOD, replace(SAME, average_precision=_interval(0.0, 0.03)), "average precision"),
        (GOOD, replace(SAME, average_precision=_interval(-0.05, 0.01)), "average precision"),
        (GOOD, replace(SAME, brier=_interval(0.002, 0.0001)), "Brier score"),
        (GOOD, replace(SAME, calibration_error=(0.03, 0.004)), "calibration"),
    ],
)
def test_each_condition_refuses_by_itself(challenger: Candidate, comparison: Comparison | None, failed: str) -> None:
    verdict = judge(challenger, OLD, comparison, served_schema=SCHEMA)
    assert not verdict.accepted
    assert verdict.findings[[item.passed for item in verdict.findings].index(False)].name == failed
    assert failed in verdict.reasons


def test_better_scores_do_not_excuse_worse_calibration() -> None:
    better = replace(SAME, average_precision=_interval(0.2, 0.01), calibration_error=(0.2, 0.0))
    assert not judge(GOOD, OLD, better, served_schema=SCHEMA).accepted


def test_the_first_champion_meets_a_floor() -> None:
    assert judge(GOOD, None, None, served_schema=SCHEMA).accepted
    weak = judge(replace(GOOD, roc_auc=0.6), None, None, served_schema=SCHEMA)
    assert "0.600, at least 0.75 is needed" in weak.reasons
    chance = judge(replace(GOOD, average_precision=0.04), None, None, served_schema=SCHEMA)
    assert "1.3 times the 3.00% that chance reaches" in chance.reasons
    assert judge(
        replace(GOOD, roc_auc=0.6), None, None, served_schema=SCHEMA, rule=AcceptanceRule(first_roc_auc=0.5)
    ).accepted


@pytest.fixture
def train(settings: TrainingSettings, table: pd.DataFrame, tmp_path: Path) -> Callable[[float], str]:
    snapshot = tmp_path / "features.npz"
    snapshot.write_bytes(b"states")
    return lambda strength: train_and_record(settings, table, tmp_path, strength=strength, snapshot=snapshot).version


def test_no_model_and_no_champion_say_what_to_run(settings: TrainingSettings, train: Callable[[float], str]) -> None:
    with pytest.raises(RegistryError, match=r"there is no model in .* run `python -m training train`"):
        promote(settings)
    with pytest.raises(RegistryError, match="there is no model"):
        resolve(connect(settings), "champion")
    train(1.0)
    with pytest.raises(RegistryError, match=r"no version is champion yet .* run `python -m training promote`"):
        resolve(connect(settings), "champion")
    with pytest.raises(RegistryError, match="no version or alias '7'; versions: 1; aliases: challenger"):
        resolve(connect(settings), "7")


def test_promotion_from_the_first_to_a_forced_one(settings: TrainingSettings, train: Callable[[float], str]) -> None:
    train(1.0)
    first = promote(settings)
    home = settings.home.resolve()
    assert first.before is None
    assert read_artifact(home / "champion" / "artifact", public_key=None).card.mlflow_model_version == "1"
    assert (home / "champion" / "snapshot" / "features.npz").read_bytes() == b"states"
    assert resolve(connect(settings), "1").aliases == ("champion",)

    # An equal one is accepted, a worse one is not, unless somebody takes it on himself.
    train(1.0)
    assert promote(settings).before.number == "1"  # type: ignore[union-attr]
    train(0.3)
    with pytest.raises(RegistryError, match=r"version 3 may not become champion: .*average precision"):
        promote(settings)
    assert placed_version(home) == "2"
    with pytest.raises(RegistryError, match="add --reason"):
        promote(settings, force=True)
    forced = promote(settings, "3", force=True, reason="drill")
    assert forced.forced
    versions = {item.number: item for item in list_versions(connect(settings))}
    assert versions["3"].aliases == ("champion",)
    assert versions["3"].tags["fraud.promotion_reason"] == "drill"
    assert versions["3"].tags["fraud.promotion_forced"] == "true"
    assert "@" in versions["3"].tags["fraud.promoted_by"]
    assert versions["2"].tags["fraud.replaced_by"] == "3"
    assert "fraud.replaced_by" not in versions["3"].tags
    assert placed_version(home) == "3"
    assert len(list((home / "champions").iterdir())) == 2


def test_promoting_the_champion_again_restores_its_files(
    settings: TrainingSettings, train: Callable[[float], str]
) -> None:
    train(1.0)
    promote(settings)
    link = champion_folder(settings.home)
    link.unlink()
    again = promote(settings, "champion")
    assert again.verdict.accepted
    assert read_artifact(link / "artifact", public_key=None).card.version == "1"


def _place(home: Path, name: str) -> None:
    with prepared(home, name) as folder:
        (folder / "artifact").mkdir(parents=True)
        for part in ("one", "two"):
            (folder / "artifact" / part).write_text(name)


def test_a_full_disk_leaves_the_champion_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _place(tmp_path, "v1-a")
    switch(tmp_path, "v1-a")

    def full(_path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(champion_files, "_sync_tree", full)
    with pytest.raises(RegistryError, match=r"No space left on device.*champion before stays"):
        _place(tmp_path, "v2-b")
    assert placed_version(tmp_path) == "1"
    assert [path.name for path in (tmp_path / "champions").iterdir()] == ["v1-a"]


def test_readers_see_the_old_or_the_new_champion_never_half(tmp_path: Path) -> None:
    _place(tmp_path, "v1-a")
    _place(tmp_path, "v2-b")
    switch(tmp_path, "v1-a")
    wrong: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            folder = champion_folder(tmp_path).resolve()
            parts = {(folder / "artifact" / part).read_text() for part in ("one", "two")}
            if parts != {folder.name}:
                wrong.append(str(parts))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(50):
        switch(tmp_path, "v2-b" if turn % 2 else "v1-a")
    stop.set()
    reader.join()
    assert wrong == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["champion", "champions"]


def test_a_folder_that_promote_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "champion").mkdir()
    (tmp_path / "champion" / "mine").write_text("x")
    with prepared(tmp_path, "v1-a") as folder:
        folder.mkdir()
    with pytest.raises(RegistryError, match="move it away"):
        switch(tmp_path, "v1-a")
    assert (tmp_path / "champion" / "mine").read_text() == "x"
