"""A file gives the results that its rows give one by one, in order of time, whatever is done side by side."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.core.features import FEATURES
from bentos.core.features.history import CATEGORY, CUSTOMER, EXACT_EVENTS, MERCHANT
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.transaction import Transaction, microseconds
from bentos.fraud.bulk import history
from bentos.fraud.bulk.pipeline import Pipeline
from bentos.fraud.scorer import Scorer, decide
from bentos.fraud.settings import ScoringSettings
from bentos.fraud.store import EmbeddedStore
from tests.fraud.bulk.tables import feature_values, scored

_START = datetime(2026, 1, 1, tzinfo=UTC)
_NAMES = Pseudonyms("secret")
_BAD = -1.0
#: Ties, times of the same hour, and bounds of windows that are met exactly.
_MINUTES = st.sampled_from([0, 0, 1, 59, 60, 1440, 2880, 8 * 1440, 30 * 1440, 37 * 1440, 95 * 1440])


@st.composite
def _rows(draw: st.DrawFn, most: int) -> list[dict[str, Any]]:
    """Rows of a file, or of what came before it; in any order, ids missing and repeated, one in ten bad."""
    rows = []
    for _ in range(draw(st.integers(0, most))):
        zone = timezone(timedelta(hours=draw(st.sampled_from([0, 1, -5]))))
        place = draw(st.sampled_from([("", "", "", ""), ("48.1", "11.6", "-33.9", "151.2")]))
        rows.append(
            {
                "transaction_id": draw(st.sampled_from(["", "", "t0", "t1", "t2", "t3", "é"])),
                "customer_id": draw(st.sampled_from(["c0", "c0", "c0", "c1", "c2"])),
                "merchant_id": draw(st.sampled_from(["m0", "m1"])),
                "merchant_category": draw(st.sampled_from(["", "food"])),
                "amount": draw(st.sampled_from([0.0, 0.01, 12.5, 12.5, 1e7, 33.3, 0.1, 7.0, 99.99, _BAD])),
                "timestamp": (_START + timedelta(minutes=draw(_MINUTES))).astimezone(zone).isoformat(),
                "customer_latitude": place[0],
                "customer_longitude": place[1],
                "merchant_latitude": place[2],
                "merchant_longitude": place[3],
            }
        )
    return rows


def _sent(row: dict[str, Any], name: str) -> Transaction:
    return Transaction(**{"transaction_id": name} | {key: value for key, value in row.items() if value != ""})


def _one_by_one(store: EmbeddedStore, rows: list[dict[str, Any]], folder: Path) -> np.ndarray:
    """Feature rows float64 [n, 21] of single lookups; NaN for bad rows."""
    sent = {place: _sent(row, f"{folder.name}-{place}") for place, row in enumerate(rows) if row["amount"] != _BAD}
    wanted = {
        CUSTOMER: sorted({item.customer_id for item in sent.values()}),
        MERCHANT: sorted({item.merchant_id for item in sent.values()}),
        CATEGORY: sorted({item.merchant_category for item in sent.values()}),
    }
    latest = max((microseconds(item.timestamp) for item in sent.values()), default=1)
    values = np.full((len(rows), len(FEATURES)), np.nan)
    folder.mkdir(parents=True)
    alone = EmbeddedStore(folder / "alone.store", _NAMES, clock=lambda: latest)
    alone.add(dataclasses.replace(store.extract(wanted), taken_at=0))
    for place, item in sorted(sent.items(), key=lambda one: microseconds(one[1].timestamp)):
        found = asyncio.run(alone.lookup_many([item], [True]))
        values[place] = found.values[0]  # noqa: PD011 - no table of pandas
    alone.close()
    return values


def _check(scorer: Scorer, home: Path, past: list[Transaction], rows: list[dict[str, Any]], chunk_rows: int) -> None:
    store = EmbeddedStore(home / "real.store", _NAMES)
    for item in past:
        asyncio.run(store.lookup_many([item], [True]))
    pd.DataFrame(rows).to_csv(home / "in.csv", index=False)
    pipeline = Pipeline(scorer, store, _NAMES, ScoringSettings(home=home / "home", bulk_chunk_rows=chunk_rows))
    result = scored(pipeline, home / "in.csv", "csv", home / "job", "none")
    expected = _one_by_one(store, rows, home / "alone" / "job")
    store.close()
    np.testing.assert_array_equal(feature_values(home / "job"), expected)
    assert result["customer_id"].tolist() == [row["customer_id"] for row in rows]
    good = ~np.isnan(expected[:, 0])
    # The model's own sums differ in the last bit with the number of rows.
    parts = [expected[start : start + chunk_rows] for start in range(0, len(rows), chunk_rows)]
    score = np.concatenate([scorer.score(part[~np.isnan(part[:, 0])])[1] for part in parts])
    np.testing.assert_array_equal(result["score"][good], score)
    assert result["decision"][good].tolist() == [decide(one, scorer.thresholds) for one in score.tolist()]
    assert (result["error"].isna() == good).all()
    assert (result["model_version"].notna() == good).all()


@settings(max_examples=40, deadline=None)
@given(
    past=_rows(6),
    rows=_rows(30).filter(bool),
    chunk_rows=st.sampled_from([1, 4, 100]),
    block=st.sampled_from([1, 3, 16_384]),
    marks=st.sampled_from([1, 4, 1 << 24]),
    remembered=st.sampled_from([0, 1, 100_000]),
)
def test_any_file(
    scorer: Scorer, past: list, rows: list, chunk_rows: int, block: int, marks: int, remembered: int
) -> None:
    before = [_sent(row, f"before-{place}") for place, row in enumerate(past) if row["amount"] != _BAD]
    sizes = mock.patch.multiple(history, _BLOCK=block, _MARKS=marks, _REMEMBERED=remembered)
    with sizes, tempfile.TemporaryDirectory() as home:
        _check(scorer, Path(home), before, rows, chunk_rows)


@pytest.mark.parametrize("order", ["in order of time", "in any order"])
def test_one_busy_customer(scorer: Scorer, tmp_path: Path, order: str) -> None:
    """More events than are kept exactly, each tenth id comes again, in another chunk."""
    count = EXACT_EVENTS + 400
    generator = np.random.default_rng(7)
    rows = [
        {
            "transaction_id": f"t{number - 2000 if number % 10 == 0 else number}",
            "customer_id": "c",
            "merchant_id": f"m{number % 3}",
            "merchant_category": "food",
            "amount": round(float(generator.exponential(40)), 2),
            "timestamp": (_START + timedelta(minutes=number // 2)).isoformat(),
        }
        for number in range(count)
    ]
    if order == "in any order":
        rows = [rows[place] for place in generator.permutation(count)]
    _check(scorer, tmp_path, [], rows, 1500)
