"""Both feature stores say the same of the same history, to the bit, whatever happens in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bentos.core.features.history import CATEGORY, CUSTOMER, KINDS, MERCHANT
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.transaction import Transaction, microseconds
from bentos.fraud.store import EmbeddedStore, FeatureRows, FeatureStore
from bentos.fraud.store.redis_link import RedisPlace
from bentos.fraud.store.redis_store import RedisStore
from tests.core.features.tables import DAY, START, canonical, transactions
from tests.servers.redis import RedisServer, running_redis

SECRET = Pseudonyms("secret")
NOW = microseconds(START + 40 * DAY)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


class Both:
    """An embedded store and one in Redis, told the same."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        self.clock = NOW
        place = RedisPlace(server.url, f"{{{folder.parent.name}{folder.name}}}:", timeout_seconds=30.0)
        self.stores: list[FeatureStore] = [
            EmbeddedStore(folder / "features.states", SECRET, clock=lambda: self.clock),
            RedisStore(place, SECRET, clock=lambda: self.clock),
        ]
        self.runner = asyncio.Runner()

    def look_up(self, items: Sequence[Transaction], record: Sequence[bool]) -> np.ndarray:
        embedded, redis = (self._asked(store, items, record) for store in self.stores)
        np.testing.assert_array_equal(embedded.values, redis.values)
        assert list(embedded.degraded) == list(redis.degraded) == [()] * len(items)
        return embedded.values

    def _asked(self, store: FeatureStore, items: Sequence[Transaction], record: Sequence[bool]) -> FeatureRows:
        return self.runner.run(store.lookup_many(items, record))

    def label(self, item: Transaction, label_time: int | None) -> None:
        for store in self.stores:
            store.label(SECRET.event(item), label_time)

    def states(self, items: Sequence[Transaction]) -> None:
        """Compare whole states."""
        keys = {kind: [getattr(item, kind.column) for item in items] for kind in KINDS}
        one, other = (store.extract(keys) for store in self.stores)
        assert one.taken_at == other.taken_at
        for kind in KINDS:
            for part in ("hashes", "offsets", "buckets", "cells"):
                first, second = getattr(one.states[kind.name], part), getattr(other.states[kind.name], part)
                np.testing.assert_array_equal(first, second, err_msg=f"{kind.name}.{part}")

    def close(self) -> None:
        self.runner.run(self.stores[1].leave())
        self.runner.close()
        for store in self.stores:
            store.close()


@pytest.fixture
def both(tmp_path: Path, server: RedisServer) -> Iterator[Both]:
    opened = Both(tmp_path, server)
    yield opened
    opened.close()


def made(rows: Sequence[dict[str, object]]) -> list[Transaction]:
    by_time = transactions(canonical([{**row, "transaction_id": f"{n}"} for n, row in enumerate(rows)]))
    return sorted(by_time, key=lambda item: int(str(item.transaction_id)))


EVENT = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(["a", "b"]),
        "merchant_id": st.sampled_from(["x", "y"]),
        "amount": st.one_of(st.floats(0, 1e7), st.sampled_from([0.0, 12.5, 1e7])),
        # Late, out of order, at equal times, older than every window, and dated ahead.
        "timestamp": st.one_of(
            st.floats(0, 45), st.sampled_from([10.0, 10.25, 40.0, 500.0]), st.integers(0, 300).map(lambda n: n / 24)
        ).map(lambda days: START + DAY * days),
    }
)
STEPS = st.lists(
    st.tuples(
        EVENT, st.booleans(), st.sampled_from(["none", "label", "unlabel"]), st.floats(0, 50), st.integers(0, 99)
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_any_history_gives_the_same_rows(
    steps: list[tuple[dict[str, object], bool, str, float, int]],
    server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    both = Both(tmp_path_factory.mktemp("states"), server)
    try:
        items = made([event for event, *_ in steps])
        for item, (_, record, what, days, number) in zip(items, steps, strict=True):
            both.look_up([item], [record])
            if what != "none":
                both.label(items[number % len(items)], None if what == "unlabel" else microseconds(START + DAY * days))
        # Once more: repeats see not themselves.
        both.look_up(items, [True] * len(items))
        both.states(items)
    finally:
        both.close()


def busy(count: int, seed: int, days: float = 38) -> list[Transaction]:
    generator = np.random.default_rng(seed)
    return made(
        [
            {
                "customer_id": "c0" if generator.uniform() < 0.5 else f"c{generator.integers(50)}",
                "merchant_id": f"m{generator.integers(3)}",
                "amount": float(generator.lognormal(3, 1)),
                "timestamp": START + DAY * float(days * n / count - (generator.exponential(0.1) if n % 7 == 0 else 0)),
            }
            for n in range(count)
        ]
    )


def test_busy_keys_fold_and_expire_alike(both: Both) -> None:
    items = busy(14_000, 0)
    generator = np.random.default_rng(1)
    for start in range(0, len(items), 500):
        part = items[start : start + 500]
        both.look_up(part, [True] * len(part))
        for item in part[::25]:
            both.label(item, microseconds(item.timestamp) + int(generator.integers(0, 10)) * 86_400_000_000)
        for item in items[: start + 1 : 211]:
            both.label(item, None)
    both.states(items)
    # What is far ahead pushes out no more than a day would.
    ahead = made([{"customer_id": "c0", "merchant_id": "m0", "timestamp": START + 900 * DAY}])[0]
    both.look_up([ahead.model_copy(update={"transaction_id": "ahead"})], [True])
    later = [item.model_copy(update={"transaction_id": f"again {item.transaction_id}"}) for item in items[-50:]]
    rows = both.look_up(later, [False] * len(later))
    assert rows[:, 7].max() > 100
    both.clock += 30 * 86_400_000_000
    more = made([{"customer_id": "c0", "merchant_id": "m0", "timestamp": START + (60 + n) * DAY} for n in range(5)])
    more = [item.model_copy(update={"transaction_id": f"more {item.transaction_id}"}) for item in more]
    both.look_up(more, [True] * 5)
    both.states(items)


@pytest.mark.parametrize("source", [0, 1])
def test_states_move_from_one_to_the_other(both: Both, tmp_path: Path, server: RedisServer, source: int) -> None:
    items = busy(9_000, 3)
    for start in range(0, len(items), 1000):
        both.look_up(items[start : start + 1000], [True] * 1000)
    both.label(items[-1], microseconds(items[-1].timestamp))
    keys = {CUSTOMER: ["c0", "c1", "c0", "nobody"], MERCHANT: ["m0"], CATEGORY: [items[0].merchant_category]}
    taken = both.stores[source].extract(keys)
    assert len(taken.states["customer"].hashes) == 2
    (tmp_path / "other").mkdir()
    other = Both(tmp_path / "other", server)
    try:
        assert [store.fill(taken) for store in other.stores] == [True, True]
        assert [store.newest() for store in other.stores] == [store.newest() for store in both.stores]
        probes = [
            item.model_copy(update={"transaction_id": f"p{n}", "customer_id": "c0", "merchant_id": "m0"})
            for n, item in enumerate(items[-100:])
        ]
        expected = both.look_up(probes, [False] * 100)
        np.testing.assert_array_equal(other.look_up(probes, [False] * 100), expected)
    finally:
        other.close()
