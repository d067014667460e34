"""The review queue on a real service: claims, labels, what two analysts do at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bentos.core.errors import Conflict
from bentos.core.records import KeptPrediction, LabelOutcome
from dashboard.queue import Tally, at_stake, label_item, ordered, take_next
from dashboard.service import Service
from dashboard.settings import DashboardSettings
from tests.dashboard.conftest import LARGE, Backend


@pytest.fixture
def service(backend: Backend) -> Iterator[Service]:
    opened = Service(DashboardSettings(dashboard_service_url=backend.url, dashboard_timeout_seconds=30))
    yield opened
    opened.close()


def _item(service: Service, transaction_id: str) -> KeptPrediction:
    (found,) = service.predictions(transaction_id=transaction_id).predictions
    return found


def test_an_item_is_one_analysts_and_the_next_one_the_others(service: Service, backend: Backend) -> None:
    for name, amount in (("order-1", 3 * LARGE), ("order-2", LARGE)):
        backend.predict(name, amount=amount)
    items = [_item(service, name) for name in ("order-2", "order-1")]
    sorted_items = ordered(items, "ann")
    assert [item.transaction_id for item in sorted_items] == ["order-1", "order-2"]
    assert at_stake(sorted_items[0]) == pytest.approx(sorted_items[0].score * 3 * LARGE)
    taken = [take_next(service, sorted_items, analyst, ()) for analyst in ("ann", "bob", "carl")]
    assert [item and item.transaction_id for item in taken] == ["order-1", "order-2", None]
    # Who has it may have it again, but not when it was passed over; others do not even see it.
    assert take_next(service, sorted_items, "ann", {"order-1"}) is None
    fresh = [_item(service, name) for name in ("order-1", "order-2")]
    assert [item.transaction_id for item in ordered(fresh, "bob")] == ["order-2"]


def test_what_another_has_claimed_is_not_labelled(service: Service, backend: Backend) -> None:
    backend.predict("held-1")
    item = _item(service, "held-1")
    service.claim("held-1", "bob")
    with pytest.raises(Conflict, match="bob"):
        label_item(service, item, "fraud", "ann")
    assert _item(service, "held-1").label is None


def test_what_was_labelled_meanwhile_is_not_labelled_again(service: Service, backend: Backend) -> None:
    backend.predict("late-1")
    item = _item(service, "late-1")
    label = {"transaction_id": "late-1", "label": "legitimate", "source": "chargeback"}
    backend.http.post("/feedback", json=label)
    with pytest.raises(Conflict, match="chargeback has labelled this transaction legitimate"):
        label_item(service, item, "fraud", "ann")
    kept = _item(service, "late-1").label
    assert kept is not None
    assert kept.label == "legitimate"


def test_a_label_pressed_twice_is_one_label(service: Service, backend: Backend) -> None:
    backend.predict("twice-1")
    item = _item(service, "twice-1")
    outcomes = [label_item(service, item, "fraud", "ann").outcome for _ in range(2)]
    assert outcomes == ["recorded", "unchanged"]


def test_a_tally_counts_time_fraud_and_agreement() -> None:
    tally = Tally()
    assert (tally.median_seconds, tally.fraud_share, tally.agreement) == (None, None, None)
    now = datetime(2026, 5, 30, tzinfo=UTC)
    for seconds, label, outcome, second in (
        (4, "fraud", "recorded", False),
        (8, "legitimate", "unchanged", True),
        (30, "fraud", "changed", True),
    ):
        made = LabelOutcome.model_validate(
            {"transaction_id": "t", "label": label, "outcome": outcome, "pending": False}
        )
        tally.add(made, now - timedelta(seconds=seconds), second=second, clock=lambda _: now)
    assert tally.median_seconds == 8
    assert tally.fraud_share == pytest.approx(2 / 3)
    assert tally.agreement == 0.5
