"""The feature store in Redis when Redis hangs, dies, forgets its scripts, and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from bentos.core.errors import ArtifactIncompatible, ConfigError, Unavailable
from bentos.core.features import FEATURE_NAMES
from bentos.core.features.history import CUSTOMER, MERCHANT
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.transaction import Transaction
from bentos.fraud.store import Delivery, FeatureRows
from bentos.fraud.store.redis_link import RedisLink, RedisPlace
from bentos.fraud.store.redis_store import RedisStore
from tests.core.features.tables import DAY, START, canonical, transactions
from tests.servers.redis import RedisServer, running_redis

SECRET = Pseudonyms("secret")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path, ["--appendonly", "yes", "--appendfsync", "always"]) as running:
        yield running


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as opened:
        yield opened


@pytest.fixture
def store(server: RedisServer, runner: asyncio.Runner) -> Iterator[RedisStore]:
    opened = RedisStore(RedisPlace(server.url, timeout_seconds=2.0, failures=3), SECRET)
    yield opened
    runner.run(opened.leave())
    opened.close()


def payment(number: int, **fields: object) -> Transaction:
    return transactions(
        canonical([{"transaction_id": f"t{number}", "timestamp": START + number * DAY / 24, **fields}])
    )[0]


def look_up(runner: asyncio.Runner, store: RedisStore, *items: Transaction) -> FeatureRows:
    return runner.run(store.lookup_many(items, [True] * len(items)))


def count(rows: FeatureRows) -> float:
    assert not any(rows.degraded)
    return float(rows.values[-1][FEATURE_NAMES.index("customer_transactions_30d")])


def until_it_works(runner: asyncio.Runner, store: RedisStore, item: Transaction) -> FeatureRows:
    end = time.monotonic() + 30
    while any((rows := look_up(runner, store, item)).degraded):
        assert time.monotonic() < end, "the circuit does not close"
        time.sleep(0.05)
    return rows


def test_while_redis_hangs_answers_have_defaults_then_go_on(
    server: RedisServer, store: RedisStore, runner: asyncio.Runner
) -> None:
    assert count(look_up(runner, store, payment(0))) == 1
    assert store.check() is None
    server.hang()
    for number in range(1, 4):
        assert look_up(runner, store, payment(number)).degraded[0]
    assert "did not answer in time (circuit open)" in str(store.check())
    server.resume()
    # What timed out may have been done all the same; repeats do it, or count nothing twice.
    until_it_works(runner, store, payment(1))
    assert store.check() is None
    assert count(look_up(runner, store, payment(1), payment(2), payment(3), payment(4))) == 5
    assert count(look_up(runner, store, payment(1), payment(5))) == 6


def test_a_hanging_redis_delays_nobody_beyond_the_timeout(
    server: RedisServer, store: RedisStore, runner: asyncio.Runner
) -> None:
    look_up(runner, store, payment(0))
    server.hang()

    async def bounded() -> FeatureRows:
        # Far above the store's own 2 s: fails only if the store does not keep to any.
        async with asyncio.timeout(10):
            return await store.lookup_many([payment(1)], [True])

    assert runner.run(bounded()).degraded[0]
    server.resume()


def test_after_kill_9_what_was_appended_is_there(
    server: RedisServer, store: RedisStore, runner: asyncio.Runner
) -> None:
    for number in range(20):
        assert count(look_up(runner, store, payment(number))) == number + 1
    server.kill()
    assert look_up(runner, store, payment(20)).degraded[0]
    with pytest.raises(Unavailable, match="feature store in Redis"):
        store.label(SECRET.event(payment(3)), 1)
    with pytest.raises(Unavailable, match="feature store in Redis"):
        store.newest()
    server.start()
    # The scripts are gone with the process; they are sent again.
    until_it_works(runner, store, payment(20))
    assert count(look_up(runner, store, payment(21))) == 22


def test_connections_that_a_restart_closed_cost_no_answer(
    server: RedisServer, store: RedisStore, runner: asyncio.Runner
) -> None:
    async def at_once(numbers: range) -> list[FeatureRows]:
        return await asyncio.gather(*(store.lookup_many([payment(number)], [True]) for number in numbers))

    assert not any(rows.degraded[0] for rows in runner.run(at_once(range(5))))
    server.stop()
    server.start()
    rows = look_up(runner, store, payment(5))
    assert rows.degraded == [()]
    assert not any(rows.degraded[0] for rows in runner.run(at_once(range(6, 11))))


def test_a_server_starts_without_redis_and_finds_it_later(server: RedisServer, runner: asyncio.Runner) -> None:
    server.kill()
    store = RedisStore(RedisPlace(server.url, timeout_seconds=2.0, failures=1), SECRET)
    assert look_up(runner, store, payment(0)).degraded[0]
    assert store.check() is not None
    server.start()
    assert count(until_it_works(runner, store, payment(0))) == 1
    runner.run(store.leave())
    store.close()


def test_flushed_scripts_are_sent_again(server: RedisServer, store: RedisStore, runner: asyncio.Runner) -> None:
    look_up(runner, store, payment(0))
    store.client.script_flush()
    assert count(look_up(runner, store, payment(1))) == 2
    store.client.script_flush()
    store.label(SECRET.event(payment(0)), 1)
    assert store.erase(CUSTOMER, payment(0).customer_id)


def test_states_made_anew_by_another_key_are_not_read(
    server: RedisServer, store: RedisStore, runner: asyncio.Runner
) -> None:
    look_up(runner, store, payment(0))
    store.client.flushall()
    other = RedisStore(RedisPlace(server.url), Pseudonyms("other"))
    assert look_up(runner, store, payment(1)).degraded[0]
    assert "FRAUD_PSEUDONYM_KEY" in str(store.check())
    other.newest()
    store.newest()
    assert store.check() is not None, "a call that only reads does not make a lookup work"
    with pytest.raises(ArtifactIncompatible, match="FRAUD_PSEUDONYM_KEY"):
        RedisStore(RedisPlace(server.url), SECRET)
    other.close()


def test_keys_expire_by_themselves_and_stay_small(server: RedisServer, runner: asyncio.Runner) -> None:
    # A machine that tests keep busy is no reason for defaults.
    store = RedisStore(RedisPlace(server.url, timeout_seconds=30.0), SECRET)
    start = payment(0)
    merchant = SECRET.key(MERCHANT, start.merchant_id)
    for first in range(0, 30_000, 1_000):
        items = [
            start.model_copy(
                update={
                    "transaction_id": f"{first + number}",
                    "customer_id": f"c{number}",
                    "timestamp": start.timestamp + (first + number) * DAY / 700,
                }
            )
            for number in range(1_000)
        ]
        assert not any(look_up(runner, store, *items).degraded)
    names = list(store.client.scan_iter(match="{fraud}:[012]:*"))
    lives = [store.client.pttl(name) for name in names]
    assert 37 * 86_400_000 < min(lives) <= max(lives) <= 41 * 86_400_000
    for letter, most in ((b"e", 300_000), (b"b", 60_000)):
        size = store.client.memory_usage(b"{fraud}:1:" + merchant + letter)
        assert 10_000 < size < most, (letter, size)
    runner.run(store.leave())
    store.close()


def test_a_key_whose_events_never_pause_lives_on(store: RedisStore, runner: asyncio.Runner) -> None:
    look_up(runner, store, payment(0))
    names = list(store.client.scan_iter(match="{fraud}:[012]:*e"))
    assert len(names) == 3
    for name in names:
        store.client.pexpire(name, 600_000)
    look_up(runner, store, *(payment(number) for number in range(1, 25)))
    assert min(store.client.pttl(name) for name in names) > 37 * 86_400_000


def test_a_key_with_an_event_of_the_future_lives_on(store: RedisStore, runner: asyncio.Runner) -> None:
    look_up(runner, store, payment(0), payment(1, timestamp=START + 60 * 365 * DAY))
    names = list(store.client.scan_iter(match="{fraud}:[012]:*e"))
    for name in names:
        store.client.pexpire(name, 600_000)
    look_up(runner, store, payment(2))
    assert min(store.client.pttl(name) for name in names) > 37 * 86_400_000


def test_events_are_kept_exactly_again_when_only_their_hours_are_left(
    store: RedisStore, runner: asyncio.Runner
) -> None:
    merchant = b"{fraud}:1:" + SECRET.key(MERCHANT, payment(0).merchant_id)
    for first in range(0, 5_000, 1_000):
        items = [
            payment(number, customer_id=f"c{number}", timestamp=START + number * DAY / 1_000)
            for number in range(first, first + 1_000)
        ]
        look_up(runner, store, *items)
    assert store.client.exists(merchant + b"b") == 1
    store.client.delete(merchant + b"e")
    again = payment(9_000, timestamp=START + 6 * DAY)
    look_up(runner, store, again)
    look_up(runner, store, again, payment(9_001, timestamp=START + 7 * DAY))
    # A head, and each of the two once.
    assert store.client.strlen(merchant + b"e") == 8 + 2 * 24


def test_a_redis_that_answers_late_is_not_there_again(server: RedisServer) -> None:
    link = RedisLink(RedisPlace(server.url, timeout_seconds=0.05, failures=1))

    def fails() -> None:
        raise RedisConnectionError("away")

    with pytest.raises(Unavailable):
        link.do(fails)
    link.do(lambda: time.sleep(0.1))
    assert link.trouble is not None
    link.do(lambda: None)
    assert link.trouble is None
    link.close()


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="redis://"):
        RedisStore(RedisPlace("http://secret@host"), SECRET)


def test_a_password_is_not_shown() -> None:
    assert "hidden" not in repr(RedisPlace("redis://:hidden@host:6379/0"))


def test_all_keys_of_a_call_lie_in_one_slot(tmp_path: Path, runner: asyncio.Runner) -> None:
    with running_redis(tmp_path, ["--cluster-enabled", "yes"]) as server:
        with Redis(port=server.port) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            until = time.monotonic() + 30
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
                assert time.monotonic() < until
                time.sleep(0.05)
        store = RedisStore(RedisPlace(server.url, timeout_seconds=30.0), SECRET)
        assert count(look_up(runner, store, payment(0))) == 1
        store.label(SECRET.event(payment(0)), 1, Delivery(bytes(16), 1))
        assert store.erase(CUSTOMER, payment(0).customer_id)
        runner.run(store.leave())
        store.close()


def test_a_label_that_fails_is_not_told_for_ever(store: RedisStore, runner: asyncio.Runner) -> None:
    item = payment(0)
    look_up(runner, store, item)
    event = SECRET.event(item)
    # Somebody else's data where the category's labels should be.
    store.client.lpush(b"{fraud}:2:" + event.keys[32:] + b"f", "x")
    with pytest.raises(Unavailable):
        store.label(event, 1, Delivery(bytes(16), 1))
    store.label(event, 1, Delivery(bytes(16), 1))
    store.label(SECRET.event(payment(1)), 1, Delivery(bytes(16), 2))
