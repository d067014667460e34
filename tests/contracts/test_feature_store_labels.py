"""What every feature store keeps: labels, however often they are told."""

from __future__ import annotations

from bentos.core.features import FEATURE_NAMES
from bentos.core.transaction import microseconds
from bentos.fraud.store import Delivery
from tests.contracts.feature_stores import SECRET, Opener, folded, frauds, payment, rate_7d, values
from tests.core.features.tables import DAY, START


def test_labels_count_after_the_delay(opened: Opener) -> None:
    store = opened()
    fraud = payment(0)
    values(store, fraud, record=True)
    store.label(SECRET.event(fraud), microseconds(START + 2 * DAY))
    rate = FEATURE_NAMES.index("merchant_fraud_rate_7d")
    assert values(store, payment(24 * 7 - 1), record=False)[rate] == 0
    assert values(store, payment(24 * 7), record=False)[rate] == 1


def test_a_label_can_be_taken_back_and_given_again(opened: Opener) -> None:
    store = opened()
    fraud = payment(0)
    values(store, fraud, record=True)
    event = SECRET.event(fraud)
    store.label(event, microseconds(START + 9 * DAY))
    assert [rate_7d(store, 24 * days) for days in (8, 9)] == [0, 1]
    # The earliest counts.
    store.label(event, microseconds(START + 10 * DAY))
    assert rate_7d(store, 24 * 9) == 1
    store.label(event, None)
    assert rate_7d(store, 24 * 9) == 0
    store.label(event, microseconds(START + 10 * DAY))
    assert [rate_7d(store, 24 * days) for days in (9, 10)] == [0, 1]


def test_a_label_of_what_is_not_there_changes_nothing(opened: Opener) -> None:
    store = opened()
    values(store, payment(0), record=True)
    for until in (microseconds(START), None):
        store.label(SECRET.event(payment(3)), until)
    assert rate_7d(store, 24 * 8) == 0


SOURCE, OTHER = bytes(range(16)), bytes(16)
LABELLED = microseconds(START + 9 * DAY)


def test_a_delivery_of_what_has_folded_counts_once(opened: Opener) -> None:
    store = opened()
    event = SECRET.event(folded(store))
    for _ in range(2):
        store.label(event, LABELLED, Delivery(SOURCE, 7))
    assert frauds(store) == [1, 1]
    # Whoever has opened it, and whatever came later.
    opened().label(event, LABELLED, Delivery(SOURCE, 6))
    assert frauds(store) == [1, 1]
    for _ in range(2):
        store.label(event, None, Delivery(SOURCE, 8))
    assert frauds(store) == [0, 0]


def test_a_delivery_is_known_by_its_source_and_serial(opened: Opener) -> None:
    store = opened()
    event = SECRET.event(folded(store))
    store.label(event, LABELLED, Delivery(SOURCE, 2**53 - 2))
    # Numbers, not texts, and each to its last digit.
    store.label(event, LABELLED, Delivery(SOURCE, 9))
    assert frauds(store) == [1, 1]
    store.label(event, LABELLED, Delivery(SOURCE, 2**53 - 1))
    assert frauds(store) == [2, 2]
    # Another source starts to count anew, and the one before is forgotten.
    store.label(event, LABELLED, Delivery(OTHER, 1))
    assert frauds(store) == [3, 3]
    store.label(event, LABELLED, Delivery(OTHER, 1))
    assert frauds(store) == [3, 3]
    store.label(event, LABELLED, Delivery(SOURCE, 9))
    assert frauds(store) == [4, 4]
    # Who does not count is not counted.
    store.label(event, LABELLED)
    assert frauds(store) == [5, 5]
    store.label(event, LABELLED, Delivery(SOURCE, 9))
    assert frauds(store) == [5, 5]


def test_a_delivery_for_what_is_not_there_is_one(opened: Opener) -> None:
    store = opened()
    fraud = payment(0)
    store.label(SECRET.event(fraud), LABELLED, Delivery(SOURCE, 5))
    values(store, fraud, record=True)
    store.label(SECRET.event(fraud), LABELLED, Delivery(SOURCE, 5))
    assert rate_7d(store, 24 * 9) == 0
    store.label(SECRET.event(fraud), LABELLED, Delivery(SOURCE, 6))
    assert rate_7d(store, 24 * 9) == 1
