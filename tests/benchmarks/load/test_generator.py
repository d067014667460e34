"""The load generator against servers whose behaviour is known."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent import futures
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import numpy as np
import pytest

from bentos.fraud.grpc.http2 import frames
from bentos.fraud.grpc.http2.frames import ErrorCode
from bentos.protos._generated.fraud.v1 import fraud_pb2
from tests.benchmarks.load.generator import (
    CONNECTION_LOST,
    NO_ANSWER,
    REFUSED,
    Client,
    Generator,
    Request,
    Run,
    constant,
    poisson,
    write_requests,
)
from tests.benchmarks.load.traffic import CUSTOMERS, grpc_requests, http_requests, transactions
from tests.benchmarks.load.wrk import run_wrk

Respond = Callable[[bytes, asyncio.StreamWriter], Coroutine[None, None, None]]

BODIES = transactions()
EXPECTED_CATEGORIES = 20
NEEDS_WRK = pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk")


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return Generator(tmp_path_factory.mktemp("generator"))


@contextmanager
def _serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]],
) -> Iterator[int]:
    started: futures.Future[tuple[int, Callable[[], object]]] = futures.Future()

    async def run() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            started.set_result((port, lambda: loop.call_soon_threadsafe(ended.set)))
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    port, end = started.result(10)
    try:
        yield port
    finally:
        end()
        thread.join()


@contextmanager
def http_server(respond: Respond) -> Iterator[int]:
    """A server on a free port that answers each request as told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await respond(head + await reader.readexactly(size), writer)
        writer.close()

    with _serving(serve) as port:
        yield port


def answer(status: int, body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %d Some\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def posts(paths: list[str], folder: Path) -> Path:
    requests = [Request(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}".encode()) for path in paths]
    return write_requests(requests, folder / "requests")


def test_every_request_is_counted_by_what_became_of_it(generator: Generator, tmp_path: Path) -> None:
    async def respond(request: bytes, writer: asyncio.StreamWriter) -> None:
        path = request.split()[1]
        if path == b"/leave":
            writer.close()
        elif path == b"/parts":
            for part in answer(200, b"x" * 5000):
                writer.write(bytes((part,)))
        elif path != b"/silent":
            writer.write(answer(int(path[1:])))

    paths = ["/200", "/429", "/parts", "/503", "/200", "/leave", "/500"]
    with http_server(respond) as port:
        client = Client(port, posts(paths, tmp_path), connections=3, grace_milliseconds=5000)
        run = generator.open_loop(client, constant(500, 70 / 500))
        silent = Client(port, posts(["/silent"], tmp_path), connections=2, grace_milliseconds=50)
        unanswered = generator.open_loop(
            Client(**{**vars(silent), "patience_milliseconds": 20}), np.array([0.0, 0.01, 0.02, 0.03])
        )
    assert run.status.tolist() == [200, 429, 200, 503, 200, CONNECTION_LOST, 500] * 10
    assert run.reconnected >= 1
    assert not np.isnan(run.done).any()
    assert len(run.latencies()) == 30
    assert unanswered.counts() == {"no answer": 2, "not sent": 2}
    assert unanswered.status[0] == NO_ANSWER
    assert np.isnan(unanswered.sent).tolist() == [False, False, True, True]


def test_a_stall_shows_in_every_request_that_was_due_meanwhile(generator: Generator, tmp_path: Path) -> None:
    stalled = 10
    seen: list[bytes] = []

    async def respond(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        if len(seen) == stalled + 1:
            await asyncio.sleep(0.3)
        writer.write(answer(200))

    with http_server(respond) as port:
        client = Client(port, posts(["/"], tmp_path), connections=1)
        run = generator.open_loop(client, constant(100, 0.5))
    assert run.counts() == {"200": 50}
    until = run.done[stalled]
    held = np.flatnonzero((run.due > run.sent[stalled]) & (run.due < until))
    assert len(held) >= 20
    # They were sent when it was over, and their latency says how long it held them; that of the sending hides it.
    assert (run.sent[held] >= until).all()
    latency = (run.done - run.due)[held]
    assert (latency >= until - run.due[held]).all()
    assert ((run.done - run.sent)[held] < until - run.sent[stalled]).all()


def test_requests_that_waited_too_long_are_given_up(generator: Generator, tmp_path: Path) -> None:
    async def respond(request: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.4)
        writer.write(answer(200))

    with http_server(respond) as port:
        client = Client(port, posts(["/"], tmp_path), connections=1, patience_milliseconds=50)
        run = generator.open_loop(client, constant(100, 0.2))
    assert run.counts() == {"200": 1, "not sent": 19}


def test_a_request_says_how_much_time_is_left(generator: Generator, tmp_path: Path) -> None:
    told = []

    async def respond(request: bytes, writer: asyncio.StreamWriter) -> None:
        told.append(int(request.partition(b"x-fraud-deadline-ms: ")[2][:6]))
        await asyncio.sleep(0.1)
        writer.write(answer(200))

    requests = write_requests(http_requests(BODIES[:2], "none", deadline=True), tmp_path / "requests")
    with http_server(respond) as port:
        client = Client(port, requests, connections=1, deadline_milliseconds=5000)
        run = generator.open_loop(client, np.array([0.0, 0.001]))
    assert run.counts() == {"200": 2}
    # The second one waited for the first.
    assert told[1] <= told[0] - 90
    assert told[0] <= 5000


@pytest.mark.parametrize("sender", ["generator", pytest.param("wrk", marks=NEEDS_WRK)])
def test_transactions_come_in_order_of_time(generator: Generator, tmp_path: Path, sender: str) -> None:
    bodies: list[dict[str, object]] = []

    async def respond(request: bytes, writer: asyncio.StreamWriter) -> None:
        bodies.append(json.loads(request.partition(b"\r\n\r\n")[2]))
        writer.write(answer(200))

    requests = write_requests(http_requests(BODIES[:3], "none"), tmp_path / "requests")
    with http_server(respond) as port:
        if sender == "wrk":
            run_wrk(f"http://127.0.0.1:{port}", requests, 1, 1)
        else:
            generator.closed_loop(Client(port, requests, connections=1), 0.3)
    times = [datetime.fromisoformat(str(body["timestamp"])) for body in bodies]
    assert len(times) > 10
    assert times == sorted(times)
    assert times[-1] - times[0] > timedelta(minutes=10)
    assert timedelta(days=100) < datetime.now(UTC) - times[-1] < timedelta(days=366)
    expected = [{**body, "timestamp": None} for body in BODIES[:3]]
    assert all({**body, "timestamp": None} in expected for body in bodies)


def test_a_closed_loop_sends_the_next_when_the_last_is_answered(generator: Generator, tmp_path: Path) -> None:
    async def respond(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(200))

    with http_server(respond) as port:
        run = generator.closed_loop(Client(port, posts(["/"], tmp_path), connections=1), 0.2)
    assert run.counts() == {"200": len(run.status)}
    assert len(run.status) > 10
    assert (run.sent[1:] >= run.done[:-1]).all()
    assert (run.sent == run.due).all()
    assert run.per_second == pytest.approx(len(run.status) / 0.2, rel=0.2)


@NEEDS_WRK
def test_wrk_sends_the_same_requests_and_counts_errors(tmp_path: Path) -> None:
    paths = set()

    async def respond(request: bytes, writer: asyncio.StreamWriter) -> None:
        paths.add(request.split()[1])
        writer.write(answer(200 if request.split()[1] == b"/a" else 429))

    with http_server(respond) as port:
        run = run_wrk(f"http://127.0.0.1:{port}", posts(["/a", "/b"], tmp_path), 2, 1)
    assert paths == {b"/a", b"/b"}
    assert run.errors.keys() == {"status"}
    assert run.errors["status"] == pytest.approx(run.requests / 2, abs=2)


class _Service(grpc.GenericRpcHandler):
    """Answers, or refuses when the amount is 0."""

    def __init__(self) -> None:
        self.amounts: list[float] = []

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[fraud_pb2.PredictRequest, fraud_pb2.Prediction] | None:
        if details.method != "/fraud.v1.FraudService/Predict":
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._predict, fraud_pb2.PredictRequest.FromString, fraud_pb2.Prediction.SerializeToString
        )

    def _predict(self, request: fraud_pb2.PredictRequest, context: grpc.ServicerContext) -> fraud_pb2.Prediction:
        self.amounts.append(request.transaction.amount)
        if not request.transaction.amount:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return fraud_pb2.Prediction(score=0.5)


def test_grpc_calls_are_understood_by_grpc_itself(generator: Generator, tmp_path: Path) -> None:
    bodies = [{**BODIES[0], "amount": amount} for amount in (1.0, 0.0, 2.0)]
    requests = write_requests(grpc_requests(bodies, fraud_pb2.Explain.EXPLAIN_NONE), tmp_path / "requests")
    service = _Service()
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[service])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        client = Client(port, requests, "grpc", connections=2, streams=3)
        run = generator.open_loop(client, poisson(2000, 0.1, seed=1))
        long = _until_much_was_sent(generator, client)
    finally:
        server.stop(None).wait()
    assert run.status.tolist() == ([200, REFUSED, 200] * len(run.status))[: len(run.status)]
    assert service.amounts.count(2.0) >= len(run.status) // 3
    assert set(long.counts()) == {"200", "refused"}


@contextmanager
def leaving_server(calls: int, unserved: int) -> Iterator[int]:
    """A gRPC server that leaves each connection at one of its calls, and serves none that begins after it said so.

    Parameters
    ----------
    calls
        Number of that call.
    unserved
        How many calls, that one the last of them, it says it does not serve.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await reader.readexactly(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
            writer.write(frames.frame(frames.SETTINGS, 0, 0))
            while True:
                head = await reader.readexactly(9)
                await reader.readexactly(int.from_bytes(head[:3], "big"))
                stream = int.from_bytes(head[5:], "big")
                if head[3] != frames.DATA or stream > 2 * calls:
                    continue
                last = stream
                if stream == 2 * calls - 1:
                    last = stream - 2 * unserved
                    writer.write(frames.goaway(last, ErrorCode.NO_ERROR))
                if stream <= last:
                    answer = (frames.HEADERS, frames.END_HEADERS), (frames.DATA, 0), (frames.HEADERS, 5)
                    writer.writelines(frames.frame(kind, flags, stream, b"\x88") for kind, flags in answer)
        writer.close()

    with _serving(serve) as port:
        yield port


@pytest.mark.parametrize(("unserved", "statuses"), [(0, [200, 200, 200]), (1, [200, 200, REFUSED])])
def test_grpc_calls_go_elsewhere_when_a_server_says_that_it_leaves(
    generator: Generator, tmp_path: Path, unserved: int, statuses: list[int]
) -> None:
    requests = write_requests(grpc_requests(BODIES[:1], fraud_pb2.Explain.EXPLAIN_NONE), tmp_path / "requests")
    with leaving_server(3, unserved) as port:
        run = generator.open_loop(Client(port, requests, "grpc", connections=1), constant(100, 0.3))
    assert run.status.tolist() == statuses * 10
    assert run.reconnected in (9, 10)


def test_a_run_ends_when_it_is_told_to(generator: Generator, tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def respond(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(answer(200))

    with http_server(respond) as port:
        client = Client(port, posts(["/"], tmp_path), connections=2)
        run = generator.open_loop(client, constant(100, 600), lambda: len(seen) > 5)
    assert run.counts() == {"200": len(seen)}
    assert 5 < len(seen) < 100 * 600


def _until_much_was_sent(generator: Generator, client: Client) -> Run:
    """A loop whose connections each sent twice the 64 KiB that a server takes before it says that it takes more."""
    bytes_each = len(client.requests.read_bytes()) / len(BODIES[:3])
    seconds = 0.5
    while True:
        run = generator.closed_loop(client, seconds)
        if len(run.status) * bytes_each > client.connections * 2 * 65536:
            return run
        # A busy machine needs longer.
        seconds *= 2
        assert seconds < 60, "next to nothing is sent"


def test_a_generator_without_a_server_says_so(generator: Generator, tmp_path: Path) -> None:
    async def respond(request: bytes, writer: asyncio.StreamWriter) -> None:
        """Is gone when it would be asked."""

    with http_server(respond) as port:
        pass
    client = Client(port, posts(["/"], tmp_path), connections=1)
    with pytest.raises(RuntimeError, match="does not take the connections"):
        generator.open_loop(client, constant(100, 0.1))
    with pytest.raises(RuntimeError, match="the address is not one of IPv4"):
        generator.open_loop(Client(1, client.requests, address="localhost"), constant(100, 0.1))


def test_arrivals() -> None:
    assert constant(100, 2.0).tolist() == pytest.approx([i / 100 for i in range(200)])
    due = poisson(1000, 10.0)
    assert len(due) == pytest.approx(10_000, rel=0.05)
    gaps = np.diff(due)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert due.max() < 10


def test_traffic_is_of_many_customers() -> None:
    assert len({body["customer_id"] for body in BODIES}) == CUSTOMERS
    assert len({body["merchant_category"] for body in BODIES}) == EXPECTED_CATEGORIES
