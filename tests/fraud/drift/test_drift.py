"""Drift by counts of real transactions' features: found soon when it is there, and not when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from bentos.core.answers import ModelVersion
from bentos.core.artifact.categories import reference_categories
from bentos.core.artifact.distributions import Distributions, Histogram, reference_histogram
from bentos.core.drift import MERCHANT_CATEGORY, SCORE
from bentos.core.features.definitions import FEATURE_NAMES
from bentos.fraud.drift.collector import DriftCollector
from bentos.fraud.drift.counts import SLICE_SECONDS, DriftCounts
from bentos.fraud.drift.drift import limit, look
from bentos.fraud.drift.layout import Layout
from bentos.fraud.rows import Ask, Row
from tests.fraud.drift.clock import Clock
from tests.fraud.drift.replay import first_flags
from tests.fraud.requests import transaction
from training.data.synthetic import GeneratorConfig, generate_chunks
from training.features_file import feature_frame

Floats = NDArray[np.float64]
AMOUNT, HOUR, NIGHT = (FEATURE_NAMES.index(name) for name in ("amount", "hour", "is_night"))
DAY = 86_400.0


def random_rows(count: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Rows of independent numbers, and scores."""
    rng = np.random.default_rng(seed)
    return rng.gamma(2.0, 5.0, (count, len(FEATURE_NAMES))), rng.beta(1, 20, count)


def distributions_of(rows: Floats, scores: Floats, categories: Sequence[str] | None = None) -> Distributions:
    """The reference that training would export; hours that are none are taken for whole hours."""
    hours = rows[:, FEATURE_NAMES.index("hour")].astype(int) % 24
    return Distributions(
        features={name: reference_histogram(rows[:, place]) for place, name in enumerate(FEATURE_NAMES)},
        score=reference_histogram(scores),
        merchant_category=None if categories is None else reference_categories(categories, hours),
    )


@pytest.fixture(scope="module")
def layout() -> Layout:
    """Of random rows."""
    return Layout(distributions_of(*random_rows(20_000)))


def row(values: Floats, score: float, *, record: bool = True) -> Row:
    """A row that was scored."""
    made = Row(Ask("t", transaction(transaction_id="t"), record, "none"), 0.0, values, ())
    made.score = score
    return made


def test_counts_are_those_of_the_reference(layout: Layout) -> None:
    rows, scores = random_rows(3000, seed=1)
    counts = layout.count(rows, scores)
    assert layout.rows(counts) == 3000
    for place, name in enumerate(FEATURE_NAMES):
        np.testing.assert_array_equal(layout.histogram(counts, name), layout.reference(name).count(rows[:, place]))
    np.testing.assert_array_equal(layout.histogram(counts, SCORE), layout.reference(SCORE).count(scores))


def test_what_stands_for_nothing_is_counted(layout: Layout) -> None:
    rows, scores = random_rows(10)
    rows[:3, FEATURE_NAMES.index("distance_km")] = -1.0
    assert layout.missing(layout.count(rows, scores), "distance_km") == 0.3


def _with_categories() -> tuple[Layout, Floats, Floats, list[str]]:
    """A layout that counts categories, and 2,500 predictions like those of training."""
    rng = np.random.default_rng(4)
    rows, scores = random_rows(20_000)
    rows[:, HOUR] = rng.integers(0, 24, 20_000)
    categories = rng.choice(["grocery", "fuel", "unknown"], 20_000, p=[0.7, 0.2, 0.1]).tolist()
    return Layout(distributions_of(rows, scores, categories)), rows[:2500], scores[:2500], categories[:2500]


def test_categories_are_counted_with_what_is_unseen_and_missing() -> None:
    layout, rows, scores, categories = _with_categories()
    assert layout.names == (SCORE, *FEATURE_NAMES, MERCHANT_CATEGORY)
    sent = ["space travel", *categories[1:2499], "Grocery"]
    counts = layout.count(rows, scores, sent)
    named = [sent.count(name) for name in ("grocery", "fuel", "unknown")]
    assert layout.histogram(counts, MERCHANT_CATEGORY).tolist() == [*named, 2]
    assert layout.unseen(counts, MERCHANT_CATEGORY) == 2 / 2500
    assert layout.missing(counts, MERCHANT_CATEGORY) == sent.count("unknown") / 2500
    assert layout.unseen(counts, "amount") is None
    # Nothing else is counted otherwise.
    alone = Layout(distributions_of(*random_rows(20_000)))
    for name in ("amount", SCORE):
        np.testing.assert_array_equal(
            layout.histogram(counts, name), layout.reference(name).count(scores if name == SCORE else rows[:, AMOUNT])
        )
    assert MERCHANT_CATEGORY not in alone.names
    assert alone.size == layout.size - 1 - 24 - 4


def test_a_category_that_disappears_shows_in_the_metrics_of_features() -> None:
    layout, rows, scores, categories = _with_categories()
    model = {"model_name": "fraud_detector", "model_version": "7", "role": "champion"}
    of = {"feature": MERCHANT_CATEGORY, **model}
    found = []
    for gone in (None, "fuel"):
        counts = DriftCounts(layout, None, Clock())
        sent = ["trains" if name == gone else name for name in categories]
        counts.count_values(rows, scores, sent)
        registry = CollectorRegistry()
        registry.register(DriftCollector(counts, ModelVersion(name="fraud_detector", version="7"), "champion", 2000))
        names = ("fraud_feature_psi", "fraud_feature_unseen_ratio", "fraud_feature_missing_ratio")
        found.append([registry.get_sample_value(name, {"window": "hour", **of}) or 0.0 for name in names])
        bound = registry.get_sample_value("fraud_feature_psi_limit", of)
        assert bound == limit(MERCHANT_CATEGORY, layout.reference(MERCHANT_CATEGORY))
    (still, unseen, missing), (moved, others, _) = found
    assert still < bound < moved
    assert (unseen, missing) == (0, categories.count("unknown") / 2500)
    assert others == categories.count("fuel") / 2500


def test_workers_are_added_up_and_successors_go_on(layout: Layout, tmp_path: Path) -> None:
    clock = Clock()
    first, second = DriftCounts(layout, tmp_path, clock), DriftCounts(layout, tmp_path, clock)
    rows, scores = random_rows(1000)
    first.count_values(rows[:600], scores[:600])
    second.count_values(rows[600:], scores[600:])
    for asked in (first, second):
        np.testing.assert_array_equal(asked.last(6), layout.count(rows, scores))
    first.close()
    third = DriftCounts(layout, tmp_path, clock)
    third.count_values(rows, scores)
    assert layout.rows(second.last(6)) == 2000
    assert len(list((tmp_path / "drift").glob("counts_*.bin"))) == 2
    second.close()
    third.close()


def test_counts_of_another_model_are_not_read(layout: Layout, tmp_path: Path) -> None:
    rows, scores = random_rows(500)
    counts = DriftCounts(layout, tmp_path)
    counts.count_values(rows, scores)
    (tmp_path / "drift" / "counts_7.bin").write_bytes(b"12345678")
    assert layout.rows(counts.last(6)) == 500
    counts.close()


def test_windows_forget(layout: Layout) -> None:
    clock = Clock()
    counts = DriftCounts(layout, None, clock)
    counts.count_values(*random_rows(100))
    assert [layout.rows(counts.last(slices)) for slices in (1, 6, 1008)] == [100, 100, 100]
    clock.seconds += 7 * SLICE_SECONDS
    assert [layout.rows(counts.last(slices)) for slices in (1, 6, 8)] == [0, 0, 100]
    clock.seconds += 8 * DAY
    counts.count_values(*random_rows(10))
    assert layout.rows(counts.last(1008)) == 10


def test_only_what_the_model_scored_and_the_history_keeps_is_counted(layout: Layout) -> None:
    counts = DriftCounts(layout, None)
    values, scores = random_rows(3)
    kept, asked, failed = (row(values[i], scores[i], record=i != 1) for i in range(3))
    failed.rules = object()  # type: ignore[assignment]
    counts.add([kept, asked, failed])
    np.testing.assert_array_equal(counts.last(1), layout.count(values[:1], scores[:1]))


def test_what_few_requests_bring_is_counted_in_the_loop_a_moment_later(layout: Layout) -> None:
    async def run() -> tuple[int, int]:
        counts = DriftCounts(layout, None)
        values, scores = random_rows(300)
        counts.add([row(values[0], scores[0])])
        at_once = layout.rows(counts.last(1))
        counts.add([row(values[i], scores[i]) for i in range(1, 300)])
        return at_once, layout.rows(counts.last(1))

    assert asyncio.run(run()) == (0, 300)


def test_few_predictions_tell_nothing(layout: Layout) -> None:
    counts = DriftCounts(layout, None)
    counts.count_values(*random_rows(1999))
    assert not list(look(counts, 2000))
    counts.count_values(*random_rows(1))
    assert {one.window for one in look(counts, 2000)} == {"hour", "day", "week"}


def test_the_limit_is_beyond_what_is_usual() -> None:
    two = Histogram(edges=[0.5], counts=[3, 1], usual=0.001)
    ten = Histogram(edges=[float(i) for i in range(9)], counts=[1] * 10, usual=0.02)
    old = Histogram(edges=[0.5], counts=[3, 1])
    found = limit("amount", two), limit("amount", ten), limit("amount", old), limit("is_night", two)
    assert found == pytest.approx((0.0155, 0.11, 0.25, 0.0125))


def test_metrics_name_model_and_window(layout: Layout) -> None:
    clock = Clock()
    counts = DriftCounts(layout, None, clock)
    rows, scores = random_rows(2500, seed=2)
    rows[:, AMOUNT] *= 3
    counts.count_values(rows[:1], scores[:1])
    clock.seconds += DAY - SLICE_SECONDS
    counts.count_values(rows[1:], scores[1:])
    registry = CollectorRegistry()
    registry.register(DriftCollector(counts, ModelVersion(name="fraud_detector", version="7"), "champion", 2000))
    model = {"model_name": "fraud_detector", "model_version": "7", "role": "champion"}
    drifted = registry.get_sample_value("fraud_feature_psi", {"feature": "amount", "window": "hour", **model})
    bound = registry.get_sample_value("fraud_feature_psi_limit", {"feature": "amount", **model})
    assert drifted is not None
    assert bound is not None
    assert drifted > 0.3 > bound
    still = registry.get_sample_value("fraud_score_psi", {"window": "day", **model})
    assert still is not None
    assert still < 0.02
    assert registry.get_sample_value("fraud_drift_rows", {"window": "week", **model}) == 2500
    assert registry.get_sample_value("fraud_feature_psi", {"feature": "is_night", "window": "day", **model}) is not None
    # An hour has one hour, no day has weekdays, and the counts are no week old.
    assert registry.get_sample_value("fraud_feature_psi", {"feature": "is_night", "window": "week", **model}) is None
    assert registry.get_sample_value("fraud_feature_psi", {"feature": "hour", "window": "hour", **model}) is None
    assert registry.get_sample_value("fraud_feature_psi", {"feature": "is_weekend", "window": "day", **model}) is None


@pytest.fixture(scope="module")
def history() -> tuple[Layout, pd.DataFrame, Floats]:
    """The reference of ten weeks of synthetic payments, and a month that follows."""
    table = pd.concat(generate_chunks(GeneratorConfig(rows=330_000, days=110, seed=5)), ignore_index=True)
    features = feature_frame(table)
    rows = features[list(FEATURE_NAMES)].to_numpy()
    day = (features["timestamp"] - features["timestamp"].iloc[0]).dt.days.to_numpy()
    scores = _score(rows)
    trained = day < 70
    later = ~trained
    kept = features.loc[later, ["timestamp", MERCHANT_CATEGORY]].reset_index(drop=True)
    categories = features.loc[trained, MERCHANT_CATEGORY].tolist()
    return Layout(distributions_of(rows[trained], scores[trained], categories)), kept, rows[later]


def _score(rows: Floats) -> Floats:
    """Some score that looks at the row."""
    return 1 / (1 + np.exp(4 - 0.3 * np.log1p(rows[:, AMOUNT]) - 1.5 * rows[:, NIGHT]))


def replay(layout: Layout, times: pd.DataFrame, rows: Floats) -> dict[str, int]:
    """How many had come when a name was first flagged."""
    seconds = times["timestamp"].astype("int64").to_numpy() / 1e6
    return first_flags(layout, seconds, rows, _score(rows), times[MERCHANT_CATEGORY].tolist())


@pytest.mark.slow
def test_nothing_is_flagged_where_nothing_has_changed(history: tuple[Layout, pd.DataFrame, Floats]) -> None:
    layout, times, rows = history
    assert len(rows) > 110_000
    assert replay(layout, times, rows) == {}


@pytest.mark.slow
def test_larger_amounts_are_flagged_soon(history: tuple[Layout, pd.DataFrame, Floats]) -> None:
    layout, times, rows = history
    changed = rows[:20_000].copy()
    changed[:, AMOUNT] *= 1.5
    assert replay(layout, times[:20_000], changed)["amount"] <= 5000


@pytest.mark.slow
def test_twice_as_much_night_is_flagged_soon(history: tuple[Layout, pd.DataFrame, Floats]) -> None:
    layout, times, rows = history
    part = np.arange(20_000)
    night = part[rows[part, NIGHT] == 1]
    chosen = np.sort(np.concatenate([part, night]))
    assert replay(layout, times.iloc[chosen].reset_index(drop=True), rows[chosen])["is_night"] <= 5000


@pytest.mark.slow
def test_each_category_that_disappears_is_flagged_soon(history: tuple[Layout, pd.DataFrame, Floats]) -> None:
    layout, times, rows = history
    part = times[:20_000]
    names = sorted(part[MERCHANT_CATEGORY].unique())
    assert len(names) == 12
    found = {}
    for name in names:
        kept = np.flatnonzero(part[MERCHANT_CATEGORY] != name)
        left = part.iloc[kept].reset_index(drop=True)
        found[name] = replay(layout, left, rows[kept]).get(MERCHANT_CATEGORY, len(part))
    assert max(found.values()) <= 5000, found


@pytest.mark.slow
def test_a_kind_of_merchants_that_disappears_is_flagged_by_what_it_takes_along(
    history: tuple[Layout, pd.DataFrame, Floats],
) -> None:
    layout, times, rows = history
    # Those without a place, as web shops.
    kept = np.flatnonzero(rows[:20_000, FEATURE_NAMES.index("distance_km")] >= 0)
    assert len(kept) < 19_000
    assert replay(layout, times.iloc[kept].reset_index(drop=True), rows[kept])["distance_km"] <= 5000
