from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from matplotlib.image import imread

from bentos.core.errors import DataError
from bentos.core.features import FEATURE_NAMES
from tests.training.evaluate.standins import Fold, Linear, feature_table, later_folds
from training.evaluate.evaluation import Evaluation, HeldOut
from training.evaluate.metrics import card_precision_at_k, day_of, score_metrics
from training.evaluate.pictures import draw_pictures
from training.evaluate.report import Scorer, evaluate_model, feature_rows


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return feature_table()


@pytest.fixture(scope="module")
def evaluation(table: pd.DataFrame) -> Evaluation:
    folds = later_folds(table, 3)
    return evaluate_model(Linear(), table, folds, split="later", fitted_on=folds[0].train, top_k=5)


def test_each_fold_is_measured_on_its_own_rows(evaluation: Evaluation, table: pd.DataFrame) -> None:
    for fold, found in zip(later_folds(table, 3), evaluation.folds, strict=True):
        labels = table.is_fraud.to_numpy()[fold.test]
        scores = Linear().score(feature_rows(table, fold.test))
        expected = score_metrics(labels, scores)
        part = table.iloc[fold.test]
        cards = card_precision_at_k(labels, scores, part.customer_id.to_numpy(), day_of(part.timestamp), 5)
        assert found.metrics == expected | {"card_precision_at_k": cards.mean}
        assert (found.rows, found.frauds) == (len(labels), labels.sum())
    values = [fold.metrics["average_precision"] for fold in evaluation.folds]
    assert evaluation.summary["average_precision"].mean == pytest.approx(np.mean(values))
    assert evaluation.summary["average_precision"].units == 3
    assert evaluation.metrics()["average_precision"] == pytest.approx(np.mean(values))


def test_one_fold_gets_its_interval_from_customers(table: pd.DataFrame) -> None:
    found = evaluate_model(Linear(), table, later_folds(table), split="later")
    interval = found.summary["roc_auc"]
    assert interval.method.startswith("bootstrap over customers")
    assert interval.low < interval.mean < interval.high
    assert found.overfitting.status == "unknown"
    assert "roc_auc_train" not in found.metrics()


def test_decisions_are_tried_on_customers_that_did_not_choose_them(evaluation: Evaluation) -> None:
    found = evaluation.confusion
    assert sum(vars(found).values()) == len(evaluation.held_out.frame)
    assert found.approved_fraud + found.reviewed_fraud + found.blocked_fraud == evaluation.held_out.labels.sum()
    assert evaluation.cost["decided"] < evaluation.cost["approve_all"]


def test_a_recipe_is_fitted_anew_in_each_fold(table: pd.DataFrame) -> None:
    fitted: list[str] = []

    def refit(fold: Fold) -> Scorer:
        fitted.append(fold.name)
        return Linear()

    folds = later_folds(table, 2)
    found = evaluate_model(Linear(), table, folds, refit=refit)  # type: ignore[arg-type]
    assert fitted == [fold.name for fold in folds]
    assert all(fold.train is not None for fold in found.folds)


def test_learning_by_heart_is_warned_of(table: pd.DataFrame) -> None:
    fold = later_folds(table)[0]
    known = {row.tobytes(): label for row, label in zip(feature_rows(table, fold.train), table.is_fraud, strict=False)}

    class ByHeart:
        def score(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
            usual = Linear().score(rows)
            noise = np.random.default_rng(0).random(len(rows))
            guess = 0.3 * usual + 0.5 * noise
            return np.array([float(known.get(row.tobytes(), score)) for row, score in zip(rows, guess, strict=True)])

    found = evaluate_model(ByHeart(), table, [fold], fitted_on=fold.train).overfitting
    assert found.status in ("warn", "fail")
    assert found.train == 1.0


def test_test_rows_that_were_trained_on_are_refused(table: pd.DataFrame) -> None:
    fold = later_folds(table)[0]
    with pytest.raises(DataError, match=r"100 of its 1200 test rows were trained on, first row 1800"):
        evaluate_model(Linear(), table, [fold], fitted_on=np.arange(1900))


def test_tables_and_folds_that_cannot_be_measured_are_refused(table: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="the split made no folds"):
        evaluate_model(Linear(), table, [])
    with pytest.raises(DataError, match="lacks hour, is_fraud"):
        evaluate_model(Linear(), table.drop(columns=["hour", "is_fraud"]), later_folds(table))
    none = table.assign(is_fraud=False)
    with pytest.raises(DataError, match="fold part 0: 1200 rows hold 0 frauds"):
        evaluate_model(Linear(), none, later_folds(none))
    few = table.assign(is_fraud=np.arange(len(table)) == 2500)
    with pytest.raises(DataError, match="too few to try thresholds on"):
        evaluate_model(Linear(), few, later_folds(few))


def test_the_report_is_json_without_ids(evaluation: Evaluation) -> None:
    report = json.loads(evaluation.to_json())
    assert report["rows"] == 1200
    assert report["folds"][0]["train"]["roc_auc"] > 0.5
    assert report["thresholds"]["review"] <= report["thresholds"]["block"]
    assert "c17" not in evaluation.to_json()
    single = replace(evaluation, summary={"x": replace(evaluation.summary["brier"], low=float("nan"))})
    assert json.loads(single.to_json())["summary"]["x"]["low"] is None


def test_a_sample_of_held_out_rows_keeps_customers_whole(evaluation: Evaluation) -> None:
    sample = evaluation.held_out.sample(400)
    assert 200 < len(sample.frame) < 600
    whole = evaluation.held_out.frame
    assert len(whole[whole.customer.isin(sample.frame.customer)]) == len(sample.frame)
    assert evaluation.held_out.sample(10_000) is evaluation.held_out
    with pytest.raises(DataError, match="lack the columns score"):
        HeldOut(whole.drop(columns="score"))


class Effects:
    """Contributions with a known strongest feature."""

    def contributions(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return (rows - rows.mean(axis=0)).astype(np.float64) * np.linspace(0, 1, len(FEATURE_NAMES))


def test_pictures_are_drawn_in_full_and_alike(evaluation: Evaluation, tmp_path: Path) -> None:
    first = draw_pictures(evaluation, tmp_path / "one", explainer=Effects())
    assert [path.stem for path in first] == [
        "roc",
        "precision_recall",
        "calibration",
        "scores",
        "costs",
        "decisions",
        "contributions",
    ]
    for path in first:
        pixels = imread(path)
        assert pixels.shape[0] > 400
        assert pixels[..., :3].std() > 0.02  # something is drawn
    again = draw_pictures(evaluation, tmp_path / "two", explainer=Effects())
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(path.name for path in first)


def test_a_folder_that_cannot_be_written_is_named(evaluation: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        draw_pictures(evaluation, tmp_path / "file" / "pictures")
