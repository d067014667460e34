from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from rich.console import Console

from bentos.core.artifact import Thresholds
from bentos.core.features import FEATURE_NAMES, feature_table
from tests.training.evaluate.standins import PLACE
from training.doctor.check import Answer, Patient
from training.doctor.examine import CHECKS, examine, failed, to_json, to_table

Break = Callable[[Patient], Patient]


def _ask(patient: Patient, name: str) -> Answer:
    (check,) = [item for item in CHECKS if item.name == name]
    return examine(patient, [check])[0]


def _with(**columns: Any) -> Break:
    """Replace columns by values, or by what a function makes of the table."""

    def apply(patient: Patient) -> Patient:
        made = {name: value(patient.table) if callable(value) else value for name, value in columns.items()}
        return replace(patient, table=patient.table.assign(**made))

    return apply


class Scores:
    """Turns the scores of another model."""

    def __init__(self, model: Any, change: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]) -> None:
        self.model, self.change = model, change
        self.pipeline = model.pipeline

    def score(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return self.change(self.model.score(rows))


def _scores(change: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]) -> Break:
    def apply(patient: Patient) -> Patient:
        model = Scores(patient.model, change)
        return replace(patient, scorer=model, model=model)

    return apply


def _pipeline(pipeline: Any) -> Break:
    def apply(patient: Patient) -> Patient:
        model = SimpleNamespace(pipeline=pipeline, score=patient.model.score)  # type: ignore[union-attr]
        return replace(patient, model=model)

    return apply


def _first(patient: Patient, column: str, value: Any) -> pd.Series:
    changed = patient.table[column].astype(object if isinstance(value, str) else float)
    changed.iloc[0] = value
    return changed


def _reordered(patient: Patient) -> Patient:
    names = list(patient.table.columns)
    one, other = names.index("amount"), names.index("hour")
    names[one], names[other] = names[other], names[one]
    return replace(patient, table=patient.table[names])


def _drop(name: str) -> Break:
    return lambda patient: replace(patient, table=patient.table.drop(columns=name))


def _learnt_by_heart(patient: Patient) -> Patient:
    known = {row.tobytes(): label for row, label in zip(patient.rows, patient.labels, strict=True)}
    random = np.random.default_rng(0)
    train = {patient.rows[row].tobytes() for row in patient.train}

    def score(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return np.array([float(known[r.tobytes()]) if r.tobytes() in train else random.random() for r in rows])

    return replace(patient, scorer=SimpleNamespace(score=score), model=None)


def _neighbours(patient: Patient) -> Patient:
    """A score that depends on the other rows of the call, as a batch norm left in training mode does."""
    model = patient.model
    assert model is not None

    def score(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        scores = model.score(rows)
        return scores / (1 + len(rows) / 1000)

    return replace(patient, scorer=SimpleNamespace(score=score))


def _own_label(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    return np.where(table.is_fraud, 0.5, 0.0) + table.merchant_fraud_rate_1d.to_numpy() * 0.1


def _thresholds(review: float, block: float) -> Break:
    return lambda patient: replace(
        patient,
        artifact=replace(patient.artifact, thresholds=Thresholds(review=review, block=block)),  # type: ignore[type-var]
    )


_TWO_COLUMNS = SimpleNamespace(steps=[("forest", SimpleNamespace(n_features_in_=20))])
_OTHER_ORDER = SimpleNamespace(steps=[("forest", SimpleNamespace(feature_names_in_=list(reversed(FEATURE_NAMES))))])
_UNSCALED = SimpleNamespace(predict_proba=lambda rows: np.tile([0.7, 0.7], (len(rows), 1)))
_TURNED = SimpleNamespace(classes_=[1, 0])

BROKEN: list[tuple[str, str, str, Break]] = [
    ("columns", "fail", "missing: hour", _drop("hour")),
    ("columns", "fail", "feature 1 is hour, amount belongs there", _reordered),
    ("dtypes", "fail", "amount is", lambda p: _with(amount=_first(p, "amount", "12,50"))(p)),
    ("dtypes", "fail", "is_fraud is int64", _with(is_fraud=lambda t: t.is_fraud.astype(int))),
    ("dtypes", "fail", "timestamp is", _with(timestamp=lambda t: t.timestamp.dt.tz_localize(None))),
    ("finite values", "fail", "hour in 1 rows", lambda p: _with(hour=_first(p, "hour", np.nan))(p)),
    ("finite values", "fail", "amount in 1 rows", lambda p: _with(amount=_first(p, "amount", np.inf))(p)),
    ("ranges", "fail", "hour leaves 0 to 23", _with(hour=lambda t: t.hour * 60)),
    ("ranges", "fail", "merchant_fraud_rate_7d leaves 0 to 1", _with(merchant_fraud_rate_7d=lambda t: 1 + t.hour)),
    ("ranges", "fail", "amount leaves", _with(amount=lambda t: (t.amount - t.amount.mean()) / t.amount.std())),
    ("constant features", "warn", "one value only: distance_km", _with(distance_km=-1.0)),
    ("duplicates", "fail", "repeated transaction ids", _with(transaction_id=lambda t: t.transaction_id.str[:3])),
    (
        "duplicates",
        "warn",
        "equal another",
        lambda p: replace(
            p, table=pd.concat([p.table, p.table.assign(transaction_id=lambda t: "x" + t.transaction_id)])
        ),
    ),
    ("both classes", "fail", "0 frauds", _with(is_fraud=False)),
    ("both classes", "fail", "0 of 1,200 test rows", _with(is_fraud=lambda t: t.is_fraud & (t.index < 1800))),
    ("both classes", "warn", "too few", lambda p: replace(p, test=p.test[:200])),
    (
        "class balance",
        "warn",
        "fraud in training",
        _with(is_fraud=lambda t: t.is_fraud | ((t.index >= 1800) & (t.hour > 15))),
    ),
    ("overlap", "fail", "in training and in test", lambda p: replace(p, test=np.arange(1700, 3000))),
    ("time order", "fail", "training ends", lambda p: replace(p, train=p.test, test=p.train)),
    ("time order", "warn", "a shuffled split", lambda p: replace(p, train=p.test, test=p.train, by_time=False)),
    (
        "sorted rows",
        "fail",
        "earlier than the row before",
        _with(timestamp=lambda t: t.timestamp.iloc[::-1].to_numpy()),
    ),
    (
        "scaling of the test",
        "fail",
        "amount: median",
        _with(amount=lambda t: t.amount * np.where(t.index < 1800, 1, 100)),
    ),
    (
        "scaling of the test",
        "fail",
        "customer_average_amount_7d",
        _with(customer_average_amount_7d=lambda t: t.customer_average_amount_7d * np.where(t.index < 1800, 1, 0.001)),
    ),
    ("single feature", "fail", "amount with an AUC of 1.000", _with(amount=lambda t: t.amount % 1 + 5.0 * t.is_fraud)),
    ("single feature", "fail", "hour with an AUC of 1.000", _with(hour=lambda t: 20.0 - 5 * t.is_fraud)),
    ("copy of the label", "fail", "the same as the label: is_night", _with(is_night=lambda t: 1.0 - t.is_fraud)),
    (
        "own label in merchant rates",
        "fail",
        "merchant_fraud_rate_1d is above 0 for 100% of the frauds",
        _with(merchant_fraud_rate_1d=_own_label),
    ),
    ("clock", "warn", "amount has a rank correlation of +1.00", _with(amount=lambda t: np.arange(len(t)) / 7)),
    (
        "label times",
        "fail",
        "3,000 labels arrive before",
        _with(label_timestamp=lambda t: t.timestamp - pd.Timedelta(minutes=1)),
    ),
    ("columns of the model", "fail", "fitted on 20 columns", _pipeline(_TWO_COLUMNS)),
    ("columns of the model", "fail", "another order", _pipeline(_OTHER_ORDER)),
    ("shape of scores", "fail", "shape (1200, 2)", _scores(lambda s: np.column_stack([1 - s, s]))),
    ("shape of scores", "fail", "alone", _neighbours),
    ("probabilities", "fail", "not in 0–1", _scores(lambda s: np.log(s / (1 - s)))),
    ("probabilities", "fail", "1,200 scores are not in 0–1, such as nan", _scores(lambda s: s * np.nan)),
    ("probabilities", "fail", "sum to 1 within 4.0e-01", _pipeline(_UNSCALED)),
    ("constant scores", "fail", "every row scores 0.500000", _scores(lambda s: s * 0 + 0.5)),
    ("constant scores", "warn", "2 different scores", _scores(np.round)),
    ("class index", "fail", "when turned around", _scores(lambda s: 1 - s)),
    ("class index", "fail", "classes are [1, 0]", _pipeline(_TURNED)),
    ("class index", "warn", "AUC on test rows is 0.", _scores(lambda s: np.random.default_rng(0).random(len(s)))),
    ("train against test", "fail", "does not carry over", _learnt_by_heart),
    ("promised share of fraud", "fail", "the mean score is", _scores(lambda s: s**0.1)),
    ("promised share of fraud", "warn", "the mean score is", _scores(lambda s: s / 3)),
    ("distributions of training", "fail", "amount", _with(amount=lambda t: (t.amount - 30) / 20)),
    (
        "distributions of training",
        "warn",
        "minutes_since_last",
        _with(minutes_since_last_transaction=lambda t: t.minutes_since_last_transaction * 0.4),
    ),
    (
        "distribution of scores",
        "warn",
        "stability index",
        _with(**{name: 0.9 for name in FEATURE_NAMES if "rate" in name}),
    ),
    ("parity", "fail", "differ by at most 1.0e-03", _scores(lambda s: s + 1e-3)),
    ("thresholds", "warn", "flags 0.00%", _thresholds(1.0, 1.0)),
    ("thresholds", "warn", "flags 100.00%", _thresholds(0.0, 1.0)),
]


@pytest.mark.parametrize(
    ("name", "status", "found", "broken"), BROKEN, ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_suspect_is_caught(patient: Patient, name: str, status: str, found: str, broken: Break) -> None:
    answer = _ask(broken(patient), name)
    assert answer.status == status, answer.found
    assert found in answer.found


def test_a_sound_model_on_sound_data_passes(patient: Patient) -> None:
    answers = examine(patient)
    assert {answer.check.name: answer.found for answer in answers if answer.status not in ("ok", "skipped")} == {}
    assert [answer.check.name for answer in answers if answer.status == "skipped"] == ["looks into the future"]


def test_every_check_has_a_test_that_breaks_it() -> None:
    assert {check.name for check in CHECKS} == {row[0] for row in BROKEN} | {"looks into the future"}
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def _transactions(rows: int = 1500) -> pd.DataFrame:
    random = np.random.default_rng(3)
    seconds = np.sort(random.integers(0, 40 * 86_400, rows))
    times = pd.Series(pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(seconds, unit="s"))
    return pd.DataFrame(
        {
            "transaction_id": [f"t{row}" for row in range(rows)],
            "customer_id": [f"c{number}" for number in random.integers(0, 40, rows)],
            "merchant_id": [f"m{number}" for number in random.integers(0, 10, rows)],
            "merchant_category": "unknown",
            "amount": random.exponential(50, rows).round(2),
            "timestamp": times.astype("datetime64[us, UTC]"),
            "utc_offset_seconds": np.zeros(rows, dtype=np.int32),
            **{f"{side}_{axis}": np.nan for side in ("customer", "merchant") for axis in ("latitude", "longitude")},
            "is_fraud": random.random(rows) < 0.1,
            "label_timestamp": pd.Series([pd.NaT] * rows, dtype="datetime64[us, UTC]"),
        }
    )


def _features(transactions: pd.DataFrame, values: npt.NDArray[np.float64]) -> Patient:
    columns = {name: values[:, place] for place, name in enumerate(FEATURE_NAMES)}
    kept = transactions.drop(columns=["amount", "merchant_id", "merchant_category"])
    table = kept.assign(**columns)
    return Patient(table, np.arange(900), np.arange(900, len(table)), transactions=transactions)


def test_a_look_into_the_future_is_found() -> None:
    transactions = _transactions()
    honest = feature_table(transactions)
    answer = _ask(_features(transactions, honest), "looks into the future")
    assert answer.status == "ok", answer.found
    # Merchant rates without the delay: what the definitions give when labels are known a week earlier.
    early = honest.copy()
    rate = transactions.groupby("merchant_id").is_fraud.transform("mean").to_numpy()
    early[:, PLACE["merchant_fraud_rate_30d"]] = rate
    leaky = _ask(_features(transactions, early), "looks into the future")
    assert leaky.status == "fail"
    assert "merchant_fraud_rate_30d in" in leaky.found
    assert "amount" not in leaky.found
    short = replace(_features(transactions, honest), transactions=transactions.iloc[1:])
    assert _ask(short, "looks into the future").status == "fail"


def test_data_that_breaks_a_check_counts_as_failed(patient: Patient) -> None:
    ruined = replace(patient, table=patient.table.assign(timestamp="yesterday"))
    answers = examine(ruined)
    assert failed(answers)
    assert any("stopped with" in answer.found for answer in answers)


def test_reports_name_meaning_and_advice_of_what_failed(patient: Patient) -> None:
    answers = examine(_drop("hour")(patient))
    report = json.loads(to_json(answers))
    assert report["failed"] is True
    first = report["checks"][0]
    assert (first["check"], first["status"], first["found"]) == ("columns", "fail", "missing: hour")
    assert "python -m training features" in first["advice"]
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(to_table(answers))
    text = console.export_text()
    assert "missing: hour" in text
    assert "→ Make the table with" in text
