"""What other users of Feast see of the store, and what they may put there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bentos.core.features.definitions import FEATURE_NAMES, FEATURES
from bentos.core.features.history import CUSTOMER, KINDS
from bentos.core.features.snapshot import read_snapshot, write_snapshot
from bentos.core.transaction import Transaction, microseconds
from bentos.fraud.store import EmbeddedStore
from bentos.fraud.store.feast_state import packed_state, unpacked_state
from bentos.fraud.store.feast_views import REQUEST, VIEWS
from tests.contracts.feature_stores import count_1d, payment, rate_7d, values
from tests.core.features.tables import DAY, START, canonical
from tests.feast.conftest import Machines
from tests.feast.repositories import NEEDS_FEAST, SECRET

pytestmark = NEEDS_FEAST


def client(repository: Path) -> Any:
    """Feast's own."""
    import feast

    return feast.FeatureStore(repo_path=str(repository))


def entities(item: Transaction) -> dict[str, list[str]]:
    """Keys of a transaction, as Feast names them."""
    return {VIEWS[kind].join_key: [SECRET.key(kind, getattr(item, kind.column)).hex()] for kind in KINDS}


def read(repository: Path, item: Transaction) -> dict[str, Any]:
    """All fields of its keys' rows."""
    names = [f"{view.name}:{field.name}" for view in VIEWS.values() for field in view.fields]
    found = client(repository).get_online_features(features=names, entity_rows=entities(item)).to_dict()
    return {name: value[0] for name, value in found.items()}


def test_plain_fields_are_the_features_of_the_transaction_recorded_last(machine: Machines, repository: Path) -> None:
    store = machine()
    values(store, payment(0, amount=20.0), record=True)
    row = values(store, payment(5, amount=70.0), record=True)
    values(store, payment(9, amount=99.0), record=False)
    found = read(repository, payment(5))
    for column, feature in enumerate(FEATURES):
        if feature.source != "transaction":
            assert found[feature.name] == row[column], feature.name
    assert found["customer_recorded_at"].timestamp() == payment(5).timestamp.timestamp()
    assert len(unpacked_state(found["customer_state"]).cells) == 2


def test_a_filled_row_has_the_plain_fields_of_its_newest_transaction(
    machine: Machines, repository: Path, tmp_path: Path
) -> None:
    table = canonical([{"timestamp": START + n * DAY, "amount": 10.0 + n} for n in range(12)])
    write_snapshot(table, tmp_path / "s.npz", SECRET)
    machine().add(read_snapshot(tmp_path / "s.npz"))
    beside = EmbeddedStore(tmp_path / "beside.states", SECRET)
    beside.add(read_snapshot(tmp_path / "s.npz"))
    last = payment(11 * 24, transaction_id="t11", amount=21.0)
    row = values(beside, last, record=False)
    beside.close()
    found = read(repository, last)
    for column, feature in enumerate(FEATURES):
        if feature.source != "transaction":
            assert found[feature.name] == row[column], feature.name


@pytest.mark.filterwarnings("ignore:On demand feature view is an experimental feature")
def test_the_view_on_demand_gives_the_services_features(machine: Machines, repository: Path) -> None:
    store = machine()
    for number in range(6):
        values(store, payment(number, amount=20.0 + number), record=True)
    places = {
        "customer_latitude": 52.5,
        "customer_longitude": 13.4,
        "merchant_latitude": 48.1,
        "merchant_longitude": 11.6,
    }
    for item in (payment(8 * 24, amount=30.0, **places), payment(7, customer_id="new", amount=5.0)):
        row = values(store, item, record=False)
        told = [microseconds(item.timestamp), 0, item.amount, *(getattr(item, name) for name in places)]
        asked = {field.name: [value] for field, value in zip(REQUEST, told, strict=True)}
        found = client(repository).get_online_features(
            features=[f"transaction_features:{name}" for name in FEATURE_NAMES], entity_rows={**entities(item), **asked}
        )
        np.testing.assert_array_equal([found.to_dict()[name][0] for name in FEATURE_NAMES], row)


def push(repository: Path, item: Transaction, state: bytes) -> None:
    """A customer's row with this state, as another program pushes it."""
    from feast.data_source import PushMode

    view = VIEWS[CUSTOMER]
    plain = {field.name: 0.0 for field in view.fields if field.type == "Float64"}
    row = {
        view.join_key: SECRET.key(CUSTOMER, item.customer_id).hex(),
        "event_timestamp": pd.Timestamp.now("UTC"),
        view.state: state,
        view.recorded_at: pd.Timestamp(item.timestamp),
        **plain,
    }
    client(repository).push(view.push_source, pd.DataFrame([row]), to=PushMode.ONLINE)


def test_a_pushed_state_is_read(machine: Machines, repository: Path) -> None:
    store = machine()
    values(store, payment(0), record=True)
    data = read(repository, payment(0))["customer_state"]
    other = payment(1, customer_id="pushed")
    push(repository, other, data)
    assert count_1d(store, other) == 2


def test_a_state_that_makes_no_sense_costs_its_own_rows_alone(
    machine: Machines, repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = machine()
    values(store, payment(0), record=True)
    state = unpacked_state(read(repository, payment(0))["customer_state"])
    backwards = payment(3, customer_id="backwards")
    values(store, backwards, record=True)
    values(store, payment(4, customer_id="backwards"), record=True)
    turned = unpacked_state(read(repository, backwards)["customer_state"])
    turned.cells["time"] = turned.cells["time"][::-1].copy()
    push(repository, payment(0), b"nonsense")
    push(repository, backwards, packed_state(turned))
    assert len(state.cells) == 1
    import asyncio

    items = [payment(5), backwards, payment(6, customer_id="sound")]
    rows = asyncio.run(store.lookup_many(items, [True] * 3))
    assert [bool(names) for names in rows.degraded] == [True, True, False]
    assert "cannot be read" in caplog.text or "too short" in caplog.text
    # What is wrong stays as it is, until somebody looks.
    assert read(repository, payment(0))["customer_state"] == b"nonsense"
    assert store.erase(CUSTOMER, payment(0).customer_id)
    assert count_1d(store, payment(7)) == 1
    assert rate_7d(store, 24 * 9) == 0
