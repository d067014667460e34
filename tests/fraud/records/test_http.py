"""Feedback and kept predictions over HTTP, on a whole worker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bentos.core.features.definitions import FEATURE_NAMES
from tests.fraud.records.conftest import Worker
from tests.fraud.requests import transaction_json

LARGE = 50_000.0


def _predict(worker: Worker, transaction_id: str, query: str = "", **fields: Any) -> dict[str, Any]:
    answer = worker.http.post(f"/predict{query}", json=transaction_json(transaction_id=transaction_id, **fields))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _errors(answer: Any) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {error["path"]: error["message"] for error in answer.json()["errors"]}


def test_a_prediction_is_kept_as_it_was_answered(worker: Worker) -> None:
    answered = _predict(worker, "t-1", amount=LARGE)
    (kept,) = worker.until(worker.kept)
    for name in ("transaction_id", "score", "decision", "model", "reasons"):
        assert kept[name] == answered[name]
    assert kept["features"] is None
    (full,) = worker.kept(features="true")
    explained = worker.http.post("/explain", json=transaction_json(transaction_id="t-1", amount=LARGE)).json()
    assert list(full["features"]) == list(FEATURE_NAMES)
    assert full["features"] == explained["features"]
    assert full["raw_score"] == explained["raw_score"]


def test_what_is_not_recorded_is_not_kept(worker: Worker) -> None:
    _predict(worker, "t-1", "?record=false")
    worker.http.post("/explain", json=transaction_json(transaction_id="t-2"))
    worker.http.post("/predict_many?record=false", json={"transactions": [transaction_json(transaction_id="t-3")]})
    worker.http.post("/predict_many", json={"transactions": [transaction_json(transaction_id="t-4"), {}]})
    assert [one["transaction_id"] for one in worker.until(worker.kept)] == ["t-4"]


def test_a_label_is_taken_once(worker: Worker) -> None:
    _predict(worker, "t-1", amount=LARGE)
    worker.until(worker.kept)
    label = {"transaction_id": "t-1", "label": "fraud", "source": "chargeback", "analyst": "ann"}
    for outcome in ("recorded", "unchanged"):
        answer = worker.http.post("/feedback", json=label)
        assert answer.status_code == 200
        assert answer.json() == {"transaction_id": "t-1", "label": "fraud", "outcome": outcome, "pending": False}
    (kept,) = worker.kept(label="fraud")
    assert kept["label"]["source"] == "chargeback"
    assert worker.metric("fraud_labels_total", label="fraud", decision="block") == 1


def test_a_label_for_what_is_not_known_is_accepted(worker: Worker) -> None:
    answer = worker.http.post("/feedback", json={"transaction_id": "t-1", "label": "fraud"})
    assert answer.status_code == 202
    assert answer.json()["pending"] is True
    _predict(worker, "t-1")
    worker.until(lambda: worker.kept(label="fraud"))
    worker.until(lambda: worker.metric("fraud_labels_total", label="fraud", decision="approve") == 1)


def test_labels_reach_the_features(worker: Worker) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    _predict(worker, "t-1", timestamp=at.isoformat())
    worker.until(worker.kept)
    answer = worker.http.post(
        "/feedback",
        json={"transaction_id": "t-1", "label": "fraud", "label_time": (at + timedelta(days=1)).isoformat()},
    )
    assert answer.status_code == 200
    later = transaction_json(timestamp=(at + timedelta(days=7, hours=1)).isoformat())

    def rate() -> Any:
        return worker.http.post("/explain", json=later).json()["features"]["merchant_fraud_rate_1d"]

    worker.until(lambda: rate() == 1)
    worker.http.post("/feedback", json={"transaction_id": "t-1", "label": "legitimate"})
    worker.until(lambda: rate() == 0)


def test_a_list_tells_of_each_label(worker: Worker) -> None:
    _predict(worker, "t-1")
    worker.until(worker.kept)
    future = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    labels = [
        {"transaction_id": "t-1", "label": "legitimate"},
        {"transaction_id": "t-2", "label": "stolen"},
        {"transaction_id": "t-3", "label": "fraud", "label_time": future},
        "nonsense",
        {"transaction_id": "t-1", "label": "legitimate"},
    ]
    answer = worker.http.post("/feedback", json=labels)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result.get("outcome") for result in results] == ["recorded", None, None, None, "unchanged"]
    assert [result["transaction_id"] for result in results] == ["t-1", "t-2", "t-3", None, "t-1"]
    assert [result["errors"][0]["path"] for result in results[1:4]] == [
        "labels.1.label",
        "labels.2.label_time",
        "labels.3",
    ]
    assert worker.http.post("/feedback", json=[*labels, {"transaction_id": "t-9", "label": "fraud"}]).status_code == 202


def test_wrong_labels_are_refused(worker: Worker) -> None:
    future = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    ahead = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    label = {"transaction_id": "t-1", "label": "fraud"}
    for body, path in (
        ({"label": "fraud"}, "transaction_id"),
        ({**label, "label": "Fraud"}, "label"),
        ({**label, "label_time": future}, "label_time"),
        ({**label, "label_time": "2026-01-01T00:00:00"}, "label_time"),
        ({**label, "transaction": "t-1"}, "transaction"),
        ("fraud", "label"),
        ([], "labels"),
        ([label] * 1001, "labels"),
    ):
        assert list(_errors(worker.http.post("/feedback", json=body))) == [path]
    assert list(_errors(worker.http.post("/feedback", content=b"{"))) == ["body"]
    assert list(_errors(worker.http.post("/feedback?dry=true", json=label))) == ["dry"]
    assert worker.http.post("/feedback", content=b"x", headers={"content-type": "text/csv"}).status_code == 415
    # Clocks differ a little.
    assert worker.http.post("/feedback", json={**label, "label_time": ahead}).status_code == 202


def test_pages_and_filters(worker: Worker) -> None:
    for number in range(3):
        _predict(worker, f"t-{number}", customer_id=f"c-{number}", amount=LARGE if number == 1 else 1.0)
    worker.until(lambda: len(worker.kept()) == 3)
    first = worker.http.get("/predictions?limit=2").json()
    second = worker.http.get("/predictions", params={"limit": 2, "cursor": first["next"]}).json()
    assert [one["transaction_id"] for one in first["predictions"] + second["predictions"]] == ["t-2", "t-1", "t-0"]
    assert second["next"] is None
    for filters, expected in (
        ({"customer_id": "c-1"}, ["t-1"]),
        ({"decision": "flagged"}, ["t-1"]),
        ({"score_from": "0.5"}, ["t-1"]),
        ({"label": "none", "merchant_id": "merchant-1", "model_version": "7"}, ["t-2", "t-1", "t-0"]),
        ({"since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00+01:00"}, []),
    ):
        assert [one["transaction_id"] for one in worker.kept(**filters)] == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "501"),
        ("limit", "١"),
        ("cursor", "nonsense"),
        ("decision", "deny"),
        ("label", "unknown"),
        ("since", "2026-01-01"),
        ("since", "2026-01-01T00:00:00"),
        ("until", "9999-01-01T00:00:00Z"),
        ("score_from", "nan"),
        ("score_to", "1.5"),
        ("features", "yes"),
        ("customer_id", ""),
        ("customer", "c-1"),
    ],
)
def test_wrong_filters_are_refused(worker: Worker, name: str, value: str) -> None:
    assert list(_errors(worker.http.get("/predictions", params={name: value}))) == [name]


def test_a_customers_history(worker: Worker) -> None:
    for number in range(3):
        _predict(worker, f"t-{number}", customer_id="c/1" if number else "c-2")
    worker.until(lambda: len(worker.kept()) == 3)
    worker.http.post("/feedback", json={"transaction_id": "t-1", "label": "fraud"})
    answer = worker.http.get("/customers/c%2F1/history?limit=1").json()
    assert answer["customer_id"] == "c/1"
    assert [event["transaction_id"] for event in answer["events"]] == ["t-2"]
    answer = worker.http.get("/customers/c%2F1/history", params={"cursor": answer["next"]}).json()
    assert [event["label"]["label"] for event in answer["events"]] == ["fraud"]
    assert worker.http.get("/customers/nobody/history").json()["events"] == []
    assert list(_errors(worker.http.get("/customers/c-1/history?decision=block"))) == ["decision"]
    assert list(_errors(worker.http.get(f"/customers/{'x' * 129}/history"))) == ["id"]


def test_a_transaction_is_claimed(worker: Worker) -> None:
    assert worker.http.post("/review/t-1/claim", json={"analyst": "ann"}).status_code == 404
    _predict(worker, "t-1")
    worker.until(worker.kept)
    claimed = worker.http.post("/review/t-1/claim", json={"analyst": "ann"})
    assert claimed.status_code == 200
    assert worker.kept()[0]["claim"] == claimed.json()
    refused = worker.http.post("/review/t-1/claim", json={"analyst": "bob"})
    assert refused.status_code == 409
    assert "ann" in refused.json()["detail"]
    assert worker.http.post("/review/t-1/claim", json={"analyst": "ann"}).status_code == 200
    assert list(_errors(worker.http.post("/review/t-1/claim", json={}))) == ["analyst"]
    assert worker.http.post(f"/review/{'x' * 129}/claim", json={"analyst": "ann"}).status_code == 404


def test_quality_is_told_to_prometheus(worker: Worker) -> None:
    for name, amount in (("t-1", LARGE), ("t-2", LARGE), ("t-3", 1.0)):
        _predict(worker, name, amount=amount)
    worker.until(lambda: len(worker.kept()) == 3)
    labels = [{"transaction_id": name, "label": label} for name, label in (("t-1", "fraud"), ("t-2", "legitimate"))]
    worker.http.post("/feedback", json=[*labels, {"transaction_id": "t-3", "label": "fraud"}])
    model = 'model_name="fraud_detector",model_version="7",role="champion"'

    def told() -> bool:
        scrape = worker.http.get("/metrics").text
        return f"fraud_label_precision{{{model}}} 0.5" in scrape and f"fraud_label_recall{{{model}}} 0.5" in scrape

    worker.until(told)


def test_health_names_the_records(worker: Worker) -> None:
    assert worker.http.get("/health").json()["dependencies"]["records"] == {"status": "ok", "detail": None}
