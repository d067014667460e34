"""A day of real payments through the running service: every feature row is the offline table's.

Thirty days of the Fraud Detection Handbook's history fill the store, then the next day's payments come in order. Each
is asked for its feature row, then scored, which records it, on connections that two workers share. Labels of the
history's frauds arrive meanwhile, a week after them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest

from bentos.client import FraudClient
from bentos.core.features import FEATURE_NAMES
from bentos.core.features.history import LABEL_DELAY_DAYS
from bentos.core.features.offline import feature_table
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.features.snapshot import write_snapshot
from bentos.core.ingest.sources import ingest_table
from bentos.core.transaction import Transaction, microseconds
from bentos.fraud.store import open_store
from bentos.fraud.store.settings import StoreSettings
from tests.fraud.artifacts import make_champion
from tests.fraud.server import environment, running_server
from tests.servers.redis import running_redis

pytestmark = [pytest.mark.slow, pytest.mark.fdh]

DAY: Final = pd.Timestamp("2018-06-15", tz="UTC")
HISTORY_DAYS: Final = 30
TOLERANCE: Final = 1e-9
PLACES: Final = ("customer_latitude", "customer_longitude", "merchant_latitude", "merchant_longitude")
KEY: Final = "replay"
#: Seconds; the machine may be busy with other tests.
PATIENCE: Final = 60.0


@dataclass(frozen=True)
class Replay:
    """What is sent and what must come back.

    Attributes
    ----------
    snapshot
        File with the states after the history.
    payments
        The day's, in order, as clients send them.
    labels
        When labels arrive, microseconds since 1970 UTC, and what they say is fraud; in order.
    expected
        float64 [payments, 21], computed over history and day as one table.
    """

    snapshot: Path
    payments: list[Transaction]
    labels: list[tuple[int, Transaction]]
    expected: np.ndarray


def as_sent(row: Any) -> Transaction:
    """A row of the table as a client's transaction, in the customer's own offset."""
    place = {name: getattr(row, name) for name in PLACES if not np.isnan(getattr(row, name))}
    zone = timezone(timedelta(seconds=row.utc_offset_seconds))
    return Transaction(
        transaction_id=row.transaction_id,
        customer_id=row.customer_id,
        merchant_id=row.merchant_id,
        merchant_category=row.merchant_category,
        amount=row.amount,
        timestamp=row.timestamp.to_pydatetime().astimezone(zone),
        **place,
    )


@pytest.fixture(scope="module")
def replay(fdh_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Replay:
    table = ingest_table([fdh_folder / "fdh_transactions_raw.parquet"], "fdh")
    first, last = DAY - pd.Timedelta(days=HISTORY_DAYS), DAY + pd.Timedelta(days=1)
    table = table[(table["timestamp"] >= first) & (table["timestamp"] < last)].reset_index(drop=True)
    before = int((table["timestamp"] < DAY).sum())
    snapshot = tmp_path_factory.mktemp("history") / "snapshot.npz"
    write_snapshot(table[:before], snapshot, Pseudonyms(KEY))
    delay = pd.Timedelta(days=LABEL_DELAY_DAYS)
    late = table[table["is_fraud"] & (table["timestamp"] >= DAY - delay) & (table["timestamp"] < last - delay)]
    known = [as_sent(row) for row in late.itertuples(index=False)]
    labels = [(microseconds(item.timestamp + delay.to_pytimedelta()), item) for item in known]
    payments = [as_sent(row) for row in table[before:].itertuples(index=False)]
    return Replay(snapshot, payments, labels, feature_table(table)[before:])


@pytest.fixture(params=["embedded", "redis"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of a feature store, which runs."""
    with ExitStack() as stack:
        settings = {"FRAUD_FEATURE_STORE": str(request.param)}
        if request.param == "redis":
            (tmp_path / "redis").mkdir()
            settings["FRAUD_REDIS_URL"] = stack.enter_context(running_redis(tmp_path / "redis")).url
            # A busy machine is no reason for defaults.
            settings["FRAUD_REDIS_TIMEOUT_MILLISECONDS"] = "30000"
        yield settings


def test_every_row_is_the_offline_tables(
    replay: Replay, backend: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_champion(tmp_path)
    environ = environment(tmp_path, workers=2, FRAUD_SNAPSHOT=str(replay.snapshot), FRAUD_PSEUDONYM_KEY=KEY, **backend)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    pseudonyms, labels = Pseudonyms(KEY), deque(replay.labels)
    rows = np.full_like(replay.expected, np.nan)
    with (
        running_server(environ, log=tmp_path / "log") as server,
        closing(open_store(StoreSettings())) as store,
        FraudClient(server.url) as first,
        FraudClient(server.url) as second,
    ):
        for number, payment in enumerate(replay.payments):
            while labels and labels[0][0] <= microseconds(payment.timestamp):
                arrived, fraud = labels.popleft()
                store.label(pseudonyms.event(fraud), arrived)
            explained = (first, second)[number % 2].explain(payment, timeout_seconds=PATIENCE)
            rows[number] = [explained.features[name] for name in FEATURE_NAMES]
            scored = (second, first)[number % 2].predict(payment, explain="none", timeout_seconds=PATIENCE)
            assert scored.degraded == ()
    wrong = np.abs(rows - replay.expected) > TOLERANCE * np.maximum(1, np.abs(replay.expected))
    columns = [FEATURE_NAMES[column] for column in np.flatnonzero(wrong.any(0))]
    assert len(rows) > 9_000
    assert len(replay.labels) > 10
    assert not wrong.any(), f"{int(wrong.any(1).sum())} of {len(rows)} rows differ, in {columns}"
