"""Whatever is killed under load: nothing counts twice, and nothing that was recorded is missing.

Clients send payments all the time and repeat one that got no answer, under its transaction_id. A worker of the server,
or Redis, is killed with -9 again and again and comes back. Afterwards each customer's count of the day says what the
store has kept of them.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import psutil
import pytest

from tests.fraud.artifacts import make_champion
from tests.fraud.requests import transaction_json
from tests.fraud.server import Server, environment, running_server
from tests.servers.redis import RedisServer, running_redis

pytestmark = pytest.mark.slow

CLIENTS: Final = 4
CUSTOMERS: Final = 5
KILLS: Final = 3
#: Seconds between kills, and after the last: a worker is back within two.
PAUSE: Final = 2.5
TRIES: Final = 200
DAY_COUNT: Final = "customer_transactions_1d"
DOCUMENTED: Final = {200, 429, 503}


@dataclass
class Story:
    """What clients saw.

    Attributes
    ----------
    recorded
        By customer, payments whose answer came, and with features.
    degraded
        By customer, payments that were scored without.
    sent
        By customer, payments that were tried.
    statuses
        How often each answer came.
    """

    recorded: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


def pay(url: str, client: int, stop: threading.Event, story: Story) -> None:
    """Send one payment after the other until told to stop."""
    number = 0
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(httpx.Client(timeout=5))
        while not stop.is_set():
            number += 1
            customer = f"customer-{client}-{number % CUSTOMERS}"
            body = transaction_json(transaction_id=f"{client}-{number}", customer_id=customer)
            with story.lock:
                story.sent[customer] += 1
            for _ in range(TRIES):
                try:
                    answer = session.post(f"{url}/predict", params={"explain": "none"}, json=body)
                except httpx.TransportError:
                    time.sleep(0.02)
                    continue
                with story.lock:
                    story.statuses[answer.status_code] += 1
                    if answer.status_code == httpx.codes.OK:
                        (story.degraded if answer.json()["degraded"] else story.recorded)[customer] += 1
                if answer.status_code == httpx.codes.OK:
                    break
                time.sleep(0.02)


@contextlib.contextmanager
def load(url: str) -> Iterator[Story]:
    """Payments as long as the block lasts."""
    story, stop = Story(), threading.Event()
    threads = [threading.Thread(target=pay, args=(url, client, stop, story)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield story
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def counted(url: str, customer: str) -> int:
    """Payments of a customer's last day in the features, without the one that asks."""
    body = transaction_json(customer_id=customer)
    features = httpx.post(f"{url}/explain", json=body, timeout=60).raise_for_status().json()["features"]
    return int(features[DAY_COUNT]) - 1


def require(holds: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"after {seconds:.0f} s still not: {what}"
        time.sleep(0.05)


def workers(server: Server) -> list[psutil.Process]:
    """Processes that answer: those which hold the port."""
    port = int(server.url.rsplit(":", 1)[1])
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(item.laddr.port == port for item in process.net_connections("inet") if item.status == "ESTABLISHED"):
                found.append(process)
    return found


def assert_kept(server: Server, story: Story) -> None:
    """Every recorded payment counts once; of the others, each at most once."""
    assert set(story.statuses) <= DOCUMENTED
    for customer, sent in story.sent.items():
        kept = counted(server.url, customer)
        assert story.recorded[customer] <= kept <= sent, customer


def test_killed_workers_lose_and_double_nothing(tmp_path: Path) -> None:
    make_champion(tmp_path)
    with running_server(environment(tmp_path, workers=2), log=tmp_path / "log") as server:
        with load(server.url) as story:
            for _ in range(KILLS):
                time.sleep(PAUSE)
                require(lambda: len(workers(server)) > 0, "a worker has connections")
                random.choice(workers(server)).kill()  # noqa: S311 - any will do
            time.sleep(PAUSE)
        assert_kept(server, story)
        assert story.recorded.total() == story.sent.total()


def test_a_killed_redis_loses_and_doubles_nothing(tmp_path: Path) -> None:
    make_champion(tmp_path)
    (tmp_path / "redis").mkdir()
    durable = ["--appendonly", "yes", "--appendfsync", "always"]
    with running_redis(tmp_path / "redis", durable) as redis:
        settings = {"FRAUD_FEATURE_STORE": "redis", "FRAUD_REDIS_URL": redis.url}
        with running_server(environment(tmp_path, workers=2, **settings), log=tmp_path / "log") as server:
            with load(server.url) as story:
                for _ in range(KILLS):
                    time.sleep(PAUSE / 2)
                    _away(redis)
                require(lambda: _healthy(server), "the store is back")
                time.sleep(PAUSE)
            assert_kept(server, story)
            assert story.degraded.total() > 0
            assert story.recorded.total() + story.degraded.total() == story.sent.total()


def _away(redis: RedisServer) -> None:
    redis.kill()
    time.sleep(PAUSE / 2)
    redis.start()


def _healthy(server: Server) -> bool:
    return bool(httpx.get(f"{server.url}/health", timeout=60).json()["status"] == "ok")
