"""Synthetic transactions: exact sizes, streaming, and the world that they tell of."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import numpy as np
import pandas as pd
import pytest

from bentos.core.errors import ConfigError
from bentos.core.ingest.validate import validate
from bentos.core.transaction import CANONICAL_COLUMNS
from training.data.synthetic import GeneratorConfig, generate_chunks, generate_table
from training.data.synthetic.config import DAY_SECONDS
from training.data.synthetic.customers import make_world
from training.data.synthetic.fraud import FRAUD_KINDS
from training.data.synthetic.generator import generate_days
from training.data.synthetic.merchants import CATEGORIES
from training.data.synthetic.purchases import HONEST, Rows
from training.data.table import TableHasher, table_hash


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return generate_table()


@pytest.fixture(scope="module")
def rows() -> Rows:
    """The default table again, with the kind of each fraud."""
    return Rows.joined(list(generate_days(make_world(GeneratorConfig()))))


def test_the_default_table_is_canonical(table: pd.DataFrame) -> None:
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == CANONICAL_COLUMNS
    assert len(table) == 10_000
    assert table["is_fraud"].sum() == 300
    assert table["timestamp"].is_monotonic_increasing
    assert table["transaction_id"].is_unique
    assert table.index.equals(pd.RangeIndex(10_000))
    assert len(validate(table).rows()) == 0


def test_the_default_table_spans_the_windows(table: pd.DataFrame) -> None:
    days = table["timestamp"].dt.floor("D")
    assert days.nunique() == 90
    assert table["customer_id"].nunique() == 200
    assert table["merchant_category"].nunique() == len(CATEGORIES)


@pytest.mark.parametrize("chunk_rows", [1, 7, 299, 300, 5_000])
def test_the_table_does_not_depend_on_the_chunks(chunk_rows: int) -> None:
    config = GeneratorConfig(rows=300, seed=3, days=10, fraud_rate=0.1)
    hasher, sizes = TableHasher(), []
    for chunk in generate_chunks(config, chunk_rows):
        hasher.update(chunk)
        sizes.append(len(chunk))
    assert hasher.hexdigest() == table_hash(pd.concat(list(generate_chunks(config)), ignore_index=True))
    assert sizes[:-1] == [chunk_rows] * (len(sizes) - 1)
    assert 0 < sizes[-1] <= chunk_rows


def test_the_seed_decides(table: pd.DataFrame) -> None:
    assert table_hash(generate_table()) == table_hash(table)
    assert table_hash(generate_table(seed=1)) != table_hash(table)


@pytest.mark.parametrize(
    ("rows", "fraud_rate", "days"), [(1, 0.03, 90), (17, 0.5, 1), (500, 0.0, 3), (3_000, 0.3, 40), (2_000, 0.03, 120)]
)
def test_any_size_is_exact(rows: int, fraud_rate: float, days: int) -> None:
    config = GeneratorConfig(rows=rows, fraud_rate=fraud_rate, days=days, start=date(2026, 10, 20))
    table = pd.concat(list(generate_chunks(config)))
    assert len(table) == rows
    assert table["is_fraud"].sum() == round(rows * fraud_rate)
    assert table["timestamp"].is_monotonic_increasing
    assert table["timestamp"].min() >= pd.Timestamp("2026-10-20", tz="UTC")
    assert table["timestamp"].max() < pd.Timestamp("2026-10-20", tz="UTC") + pd.Timedelta(days=days)
    assert len(validate(table).rows()) == 0


@pytest.mark.parametrize(
    "wrong",
    [{"rows": 0}, {"fraud_rate": -0.1}, {"fraud_rate": 0.6}, {"fraud_rate": float("nan")}, {"seed": -1}, {"days": 0}],
)
def test_values_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is .* must lie from"):
        GeneratorConfig(**wrong)  # type: ignore[arg-type]


def test_the_period_lies_in_what_a_transaction_may_hold() -> None:
    with pytest.raises(ConfigError, match="do not lie"):
        GeneratorConfig(start=date(2199, 12, 1))


def test_chunks_hold_rows() -> None:
    with pytest.raises(ConfigError, match="chunk_rows is 0"):
        next(generate_chunks(GeneratorConfig(), 0))


#: Prints the most memory of three runs, bytes; the first one loads what the others find.
PEAKS = """
import tracemalloc
from training.data.synthetic import GeneratorConfig, generate_chunks
for days in (5, 5, 40):
    tracemalloc.start()
    for _ in generate_chunks(GeneratorConfig(rows=100 * days, days=days), 100):
        pass
    print(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
"""


def test_memory_does_not_grow_with_the_days() -> None:
    """Eight times the days and rows, the same rows a day: who keeps everything needs eight times the memory."""
    # In a process of its own: what other tests left running would be counted too.
    done = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    _, few, many = map(int, done.stdout.split())
    # Customers grow with the rows; they are small beside a chunk.
    assert many < 3 * few


def test_clocks_follow_summer_time(table: pd.DataFrame) -> None:
    """Each customer's offset changes once, by an hour, in the night to 2026-03-29 at 01:00 UTC."""
    change = pd.Timestamp("2026-03-29T01:00Z")
    before = table[table["timestamp"] < change].groupby("customer_id")["utc_offset_seconds"]
    after = table[table["timestamp"] >= change].groupby("customer_id")["utc_offset_seconds"]
    assert set(before.nunique()) == {1}
    assert set(after.nunique()) == {1}
    assert set((after.first() - before.first()).dropna()) == {3600}
    assert set(before.first()) == {0, 3600, 7200}


def test_customers_have_their_hours(table: pd.DataFrame) -> None:
    local = table["timestamp"].dt.tz_convert(None) + pd.to_timedelta(table["utc_offset_seconds"], unit="s")
    honest = ~table["is_fraud"]
    at_night = local.dt.hour < 6
    assert 0.005 < at_night[honest].mean() < 0.12
    by_customer = at_night[honest].groupby(table["customer_id"]).mean()
    assert by_customer.quantile(0.5) < 0.05
    assert by_customer.max() > 0.25, "some are night owls"


def test_merchants_sell_at_their_hours(table: pd.DataFrame) -> None:
    local = table["timestamp"].dt.tz_convert(None) + pd.to_timedelta(table["utc_offset_seconds"], unit="s")
    evening = (local.dt.hour >= 18) | (local.dt.hour < 5)
    share = evening[~table["is_fraud"]].groupby(table["merchant_category"]).mean()
    assert share["nightlife"] > 0.85
    assert share.drop("nightlife").max() < 0.5


def test_categories_have_their_prices_and_places(table: pd.DataFrame) -> None:
    price = table[~table["is_fraud"]].groupby("merchant_category")["amount"].median()
    assert price["transport"] < price["grocery"] < price["jewellery"]
    online = {kind.name for kind in CATEGORIES if kind.online}
    assert (table["merchant_latitude"].isna() == table["merchant_category"].isin(online)).all()
    assert table["customer_latitude"].notna().all()


def test_homes_and_merchants_stay_where_they_are(table: pd.DataFrame) -> None:
    for side in ("customer", "merchant"):
        places = table.groupby(f"{side}_id")[[f"{side}_latitude", f"{side}_longitude"]].nunique()
        assert (places <= 1).all(axis=None)


def test_labels_arrive_late(table: pd.DataFrame) -> None:
    fraud = table[table["is_fraud"]]
    delay = (fraud["label_timestamp"] - fraud["timestamp"]) / pd.Timedelta(days=1)
    assert table.loc[~table["is_fraud"], "label_timestamp"].isna().all()
    assert (delay > 0).all()
    assert 0.02 < (delay > 7).mean() < 0.2


def _of(rows: Rows, name: str) -> Rows:
    number = next(number for number, kind in enumerate(FRAUD_KINDS) if kind.name == name)
    return rows.take(rows.fraud == number)


def test_every_kind_of_fraud_is_there(rows: Rows) -> None:
    counts = np.bincount(rows.fraud[rows.fraud != HONEST], minlength=len(FRAUD_KINDS))
    assert (counts >= 50).all()
    assert counts.sum() == 300


def test_a_stolen_card_is_used_often_in_a_short_time(rows: Rows) -> None:
    spree = _of(rows, "stolen card spree")
    for customer in np.unique(spree.customer):
        times = np.sort(spree.time[spree.customer == customer])
        # The last episode of a kind is cut to size, a customer may be hit twice.
        assert len(times) < 5 or np.median(np.diff(times)) < 30 * 60


def test_a_merchant_that_leaks_does_so_for_weeks(rows: Rows) -> None:
    leak = _of(rows, "compromised merchant")
    days_and_shares = []
    for merchant in np.unique(leak.merchant):
        times = leak.time[leak.merchant == merchant]
        here = rows.take((rows.merchant == merchant) & (rows.time >= times.min()) & (rows.time <= times.max()))
        days_and_shares.append((np.ptp(times) / DAY_SECONDS, (here.fraud != HONEST).mean()))
    days, shares = np.array(days_and_shares).T
    assert np.median(days) > 14
    assert 0.15 < np.median(shares) < 0.9


def test_a_taken_account_is_used_far_from_home(rows: Rows) -> None:
    world = make_world(GeneratorConfig())
    taken = _of(rows, "account takeover far from home")
    north = np.abs(world.customers.latitude[taken.customer] - world.merchants.latitude[taken.merchant])
    east = np.abs(world.customers.longitude[taken.customer] - world.merchants.longitude[taken.merchant])
    assert (np.hypot(north, east) > 0.5).mean() > 0.9


def test_a_number_is_tried_with_tiny_amounts(rows: Rows) -> None:
    tried = _of(rows, "card testing")
    assert (tried.amount < 3).mean() > 0.7
    assert (tried.amount == 0).any()
    assert (tried.amount > 30).any()
