"""What a transaction weighs: bytes on the wire, in Redis and in PostgreSQL. The inputs of docs/scaling.md.

Run with ``python -m tests.benchmarks.sizes``. Counts bytes, no times: any machine gives the same.
"""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import redis

from bentos.core.transaction import Transaction
from bentos.fraud.records.encoding import Encoder
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.writing import Writer
from bentos.fraud.store.redis_link import RedisPlace
from bentos.fraud.store.redis_store import RedisStore
from tests.benchmarks.store import SECRET, START
from tests.fraud.artifacts import make_champion
from tests.fraud.records.predicted import MODEL, REASON, opened, predicted
from tests.fraud.server import environment, running_server
from tests.servers.postgresql import running_postgres
from tests.servers.redis import running_redis

ROWS = 20_000
PAYMENT = {
    "transaction_id": "8d7e6c5b4a39281706f5e4d3c2b1a098",
    "customer_id": "customer-4711",
    "merchant_id": "merchant-815",
    "merchant_category": "electronics",
    "amount": 1890.0,
    "timestamp": "2026-05-30T03:12:00+02:00",
}


def on_the_wire(folder: Path) -> tuple[int, int]:
    """Bytes of a request to /predict and of its answer, headers included, over HTTP on a connection that stays."""
    make_champion(folder)
    body = json.dumps(PAYMENT).encode()
    head = f"POST /predict?explain=none HTTP/1.1\r\nhost: fraud\r\ncontent-length: {len(body)}\r\n"
    request = f"{head}content-type: application/json\r\nauthorization: Bearer {'k' * 52}\r\n\r\n".encode() + body
    with running_server(environment(folder)) as server:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        with socket.create_connection(address, timeout=60) as link:
            link.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += link.recv(65536)
            headers, _, rest = answer.partition(b"\r\n\r\n")
            assert b" 200 " in headers.splitlines()[0], headers
            sizes = dict(line.lower().split(b": ", 1) for line in headers.splitlines()[1:])
            return len(request), len(headers) + 4 + max(int(sizes[b"content-length"]), len(rest))


def _one(number: int, hours: float) -> Transaction:
    return Transaction(
        transaction_id=f"size-{number}",
        customer_id="customer",
        merchant_id=f"merchant-{number}",
        merchant_category=f"category-{number}",
        amount=10.0 + number,
        timestamp=START + timedelta(hours=hours),
    )


def _moved(client: redis.Redis) -> tuple[int, int]:
    found = client.info("stats")
    return int(found["total_net_input_bytes"]), int(found["total_net_output_bytes"])


def in_redis(events: int, hours_apart: float) -> tuple[int, int, int]:
    """Bytes of a customer of so many events, and what a lookup of his moves to Redis and back."""
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder)) as server:
        store = RedisStore(RedisPlace(server.url, "{s}:", timeout_seconds=60.0), SECRET)
        client = redis.Redis.from_url(server.url)

        async def run() -> tuple[int, int]:
            for number in range(events):
                await store.lookup_many([_one(number, number * hours_apart)], [True])
            # The questions are traffic too: what two of them count with nothing between is taken off.
            first, second = _moved(client), _moved(client)
            await store.lookup_many([_one(events, events * hours_apart)], [False])
            third = _moved(client)
            await store.leave()
            sent, received = (new - 2 * old + oldest for new, old, oldest in zip(third, second, first, strict=True))
            return sent, received

        sent, received = asyncio.run(run())
        keys = [key for key in client.keys("{s}:0*") if key]
        size = sum(int(client.memory_usage(key, samples=0)) for key in keys)
        store.close()
        client.close()
        return size, sent, received


def in_postgresql() -> float:
    """Bytes of a kept prediction, its indexes and its feature row included; one in a hundred has reasons."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_postgres(()) as server,
        opened(RecordsSettings(home=Path(folder), records_url=server.new_database())) as book,
    ):
        encoder, writer = Encoder(book.identifiers, MODEL, "champion"), Writer(book.database, book.identifiers)
        for first in range(0, ROWS, 1000):
            pairs = [
                predicted(
                    f"{number * 2654435761 % 2**32:08x}-{number}",
                    customer_id=f"customer-{number * 7919 % 50_000}",
                    merchant_id=f"merchant-{number * 104_729 % 5_000}",
                    reasons=() if number % 100 else (REASON,) * 3,
                )
                for number in range(first, first + 1000)
            ]
            rows, answers = zip(*pairs, strict=True)
            writer.write(encoder.encode((time.time_ns() // 1000, rows, answers)))
        with book.database.read() as connection:
            size = connection.exec_driver_sql("select pg_total_relation_size('predictions')").scalar_one()
    return int(size) / ROWS


def main() -> None:
    """Print the sizes."""
    with tempfile.TemporaryDirectory() as folder:
        request, answer = on_the_wire(Path(folder))
    print(f"HTTP, /predict without reasons: request {request:,} bytes, answer {answer:,} bytes")
    for events, hours in ((30, 24.0), (100, 7.0), (4096, 0.17)):
        size, sent, received = in_redis(events, hours)
        print(
            f"Redis, a customer of {events:,} events in 30 days: {size:,} bytes; a lookup sends {sent:,},"
            f" receives {received:,}"
        )
    print(f"PostgreSQL: {in_postgresql():,.0f} bytes a prediction")


if __name__ == "__main__":
    main()
