"""What the server does with calls, whatever they are for: asked by gRPC's own client."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator

import grpc
import pytest

from bentos.core.errors import Overloaded, Unavailable
from bentos.fraud.grpc.calls import Call
from bentos.fraud.grpc.methods import Methods, StreamingMethod, UnaryMethod
from bentos.fraud.grpc.ports import reserve_port
from tests.fraud.grpc.serving import HOST, SECONDS, Serving, serving_methods

LIMIT_BYTES = 8 * 1024 * 1024


class Waiting:
    """A call that waits until it is let go or cancelled."""

    def __init__(self) -> None:
        self.begun, self.cancelled = threading.Event(), threading.Event()
        self.go = asyncio.Event()
        self.deadline: float | None = None

    async def __call__(self, message: bytes, call: Call) -> bytes:
        self.begun.set()
        self.deadline = call.deadline
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return message


async def _echo(message: bytes, _: Call) -> bytes:
    return message


async def _metadata(_: bytes, call: Call) -> bytes:
    return call.metadata["custom"].encode()


async def _fail(message: bytes, _: Call) -> bytes:
    raise {b"overloaded": Overloaded("full", 3), b"down": Unavailable("away")}.get(message, RuntimeError("secret"))


async def _repeat(call: Call) -> None:
    async for message in call.messages():
        await call.send(message)
        await call.send(message)


async def _never(call: Call) -> None:
    await call.send(b"first")
    await asyncio.Event().wait()


def _refuse() -> None:
    raise Overloaded("no room", 2)


def _methods(waiting: Waiting) -> Methods:
    return {
        "/test.Service/Echo": UnaryMethod("echo", _echo, LIMIT_BYTES),
        "/test.Service/Small": UnaryMethod("small", _echo, 1000),
        "/test.Service/Metadata": UnaryMethod("metadata", _metadata, LIMIT_BYTES),
        "/test.Service/Fail": UnaryMethod("fail", _fail, LIMIT_BYTES),
        "/test.Service/Wait": UnaryMethod("wait", waiting, LIMIT_BYTES),
        "/test.Service/Shed": UnaryMethod("shed", _echo, LIMIT_BYTES, admit=_refuse),
        "/test.Service/Repeat": StreamingMethod("repeat", _repeat, 100_000),
        "/test.Service/Never": StreamingMethod("never", _never, 1000),
    }


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@pytest.fixture
def serving(waiting: Waiting) -> Iterator[Serving]:
    with serving_methods(_methods(waiting)) as opened:
        yield opened


@pytest.fixture
def channel(serving: Serving) -> Iterator[grpc.Channel]:
    unlimited = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
    with serving.channel(*unlimited) as opened:
        yield opened


def _code(call: object) -> grpc.StatusCode:
    assert isinstance(call, grpc.Call)
    code: grpc.StatusCode = call.code()
    return code


# Around the sizes of a frame, of a stream's first window, of a connection's.
@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 65_530, 131_067, 131_068, 200_000, 5_000_000])
def test_messages_of_any_size_come_and_go(channel: grpc.Channel, size: int) -> None:
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert channel.unary_unary("/test.Service/Echo")(message, timeout=SECONDS) == message


def test_many_calls_share_a_connection(channel: grpc.Channel) -> None:
    echo = channel.unary_unary("/test.Service/Echo")
    messages = [bytes([number % 256]) * (number * 37 % 40_000) for number in range(500)]
    calls = [echo.future(message, timeout=SECONDS) for message in messages]
    assert [call.result() for call in calls] == messages


def test_the_longest_message_and_one_byte_more(channel: grpc.Channel) -> None:
    small = channel.unary_unary("/test.Service/Small")
    assert len(small(bytes(1000), timeout=SECONDS)) == 1000
    for size in (1001, 10_000_000):
        with pytest.raises(grpc.RpcError) as caught:
            small(bytes(size), timeout=SECONDS)
        assert _code(caught.value) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(small(b"still there", timeout=SECONDS)) == 11


def test_unfinished_messages_share_a_budget() -> None:
    with (
        serving_methods(
            {"/test.Service/Echo": UnaryMethod("echo", _echo, LIMIT_BYTES)}, budget_bytes=200_000
        ) as serving,
        serving.channel() as channel,
    ):
        echo = channel.unary_unary("/test.Service/Echo")
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as caught:
                echo(bytes(1_000_000), timeout=SECONDS)
            assert _code(caught.value) is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert len(echo(bytes(150_000), timeout=SECONDS)) == 150_000


def test_metadata_reach_the_method(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/test.Service/Metadata")
    metadata = (("custom", "one"), ("custom", "two"), ("other-bin", b"\x00\xff"))
    assert call(b"", timeout=SECONDS, metadata=metadata) == b"one,two"


def test_metadata_that_are_too_long_are_refused(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/test.Service/Echo")(b"", timeout=SECONDS, metadata=(("long", "x" * 20_000),))
    assert _code(caught.value) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert channel.unary_unary("/test.Service/Echo")(b"after", timeout=SECONDS) == b"after"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"overloaded", grpc.StatusCode.RESOURCE_EXHAUSTED),
        (b"down", grpc.StatusCode.UNAVAILABLE),
        (b"bug", grpc.StatusCode.INTERNAL),
    ],
)
def test_errors_become_codes(
    serving: Serving,
    channel: grpc.Channel,
    message: bytes,
    code: grpc.StatusCode,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(grpc.RpcError) as caught, caplog.at_level(logging.ERROR):
        channel.unary_unary("/test.Service/Fail")(message, timeout=SECONDS)
    assert _code(caught.value) is code
    assert "secret" not in str(caught.value)
    assert ("secret" in caplog.text) is (code is grpc.StatusCode.INTERNAL)
    assert serving.counts.seen == [("fail", code.name)]


def test_what_is_shed_is_not_read(serving: Serving, channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/test.Service/Shed")(bytes(5_000_000), timeout=SECONDS)
    assert _code(caught.value) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert serving.counts.seen == [("shed", "RESOURCE_EXHAUSTED")]


def test_compressed_messages_are_refused(serving: Serving) -> None:
    with serving.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/test.Service/Echo")(bytes(10_000), timeout=SECONDS, compression=grpc.Compression.Gzip)
    assert _code(caught.value) is grpc.StatusCode.UNIMPLEMENTED


def test_a_cancelled_call_stops_working(serving: Serving, channel: grpc.Channel, waiting: Waiting) -> None:
    call = channel.unary_unary("/test.Service/Wait").future(b"", timeout=SECONDS)
    assert waiting.begun.wait(SECONDS)
    call.cancel()
    assert waiting.cancelled.wait(SECONDS)
    assert serving.counts.seen == [("wait", "CANCELLED")]


def test_a_call_whose_client_is_gone_stops_working(serving: Serving, waiting: Waiting) -> None:
    with serving.channel() as channel:
        call = channel.unary_unary("/test.Service/Wait").future(b"")
        assert waiting.begun.wait(SECONDS)
    assert waiting.cancelled.wait(SECONDS)
    assert call.code() is grpc.StatusCode.CANCELLED


def test_a_call_stops_working_at_its_deadline(channel: grpc.Channel, waiting: Waiting) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/test.Service/Wait")(b"", timeout=0.2)
    assert _code(caught.value) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert waiting.begun.is_set()
    assert waiting.deadline is not None
    assert waiting.cancelled.wait(SECONDS)


def test_streams_flow_both_ways(channel: grpc.Channel) -> None:
    messages = [bytes([number]) * 5_000 for number in range(100)]
    repeated = channel.stream_stream("/test.Service/Repeat")(iter(messages), timeout=SECONDS)
    assert list(repeated) == [message for message in messages for _ in range(2)]


def test_a_stream_s_message_that_is_too_long_ends_it(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(channel.stream_stream("/test.Service/Repeat")(iter([b"short", bytes(100_001)]), timeout=SECONDS))
    assert _code(caught.value) is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_stream_ends_at_its_deadline(serving: Serving, channel: grpc.Channel) -> None:
    answers = channel.stream_stream("/test.Service/Never")(iter([]), timeout=0.3)
    assert next(answers) == b"first"
    with pytest.raises(grpc.RpcError) as caught:
        next(answers)
    assert _code(caught.value) is grpc.StatusCode.DEADLINE_EXCEEDED


def test_stopping_finishes_what_runs_and_takes_nothing_more(serving: Serving, waiting: Waiting) -> None:
    with serving.channel() as channel, serving.channel() as late:
        call = channel.unary_unary("/test.Service/Wait").future(b"finished", timeout=SECONDS)
        assert waiting.begun.wait(SECONDS)
        stopping = asyncio.run_coroutine_threadsafe(serving.server.stop(SECONDS), serving.loop.loop)
        serving.loop.run(asyncio.sleep(0))
        with pytest.raises(grpc.RpcError) as caught:
            late.unary_unary("/test.Service/Echo")(b"", timeout=SECONDS)
        assert _code(caught.value) is grpc.StatusCode.UNAVAILABLE
        assert not stopping.done()
        serving.loop.loop.call_soon_threadsafe(waiting.go.set)
        assert call.result() == b"finished"
        stopping.result(SECONDS)


def test_stopping_a_server_that_is_idle_does_not_wait(serving: Serving, channel: grpc.Channel) -> None:
    assert channel.unary_unary("/test.Service/Echo")(b"used", timeout=SECONDS) == b"used"
    # It would be cut off by the test's own timeout.
    serving.stop(10 * SECONDS)


def test_workers_share_a_port() -> None:
    methods = {"/test.Service/Echo": UnaryMethod("echo", _echo, LIMIT_BYTES)}
    with (
        reserve_port(HOST, 0) as reserved,
        serving_methods(methods, port=reserved.getsockname()[1]) as one,
        serving_methods(methods, port=reserved.getsockname()[1]) as two,
    ):
        for _ in range(40):
            with one.channel() as channel:
                assert channel.unary_unary("/test.Service/Echo")(b"x", timeout=SECONDS) == b"x"
        # One in 2^39 for all on the same side.
        assert len(one.counts.seen) + len(two.counts.seen) == 40
        assert one.counts.seen
        assert two.counts.seen


def test_stopping_waits_no_longer_than_the_grace(serving: Serving, waiting: Waiting) -> None:
    with serving.channel() as channel:
        call = channel.unary_unary("/test.Service/Wait").future(b"", timeout=SECONDS)
        assert waiting.begun.wait(SECONDS)
        serving.stop(0.1)
        assert call.code() is grpc.StatusCode.UNAVAILABLE
        assert waiting.cancelled.wait(SECONDS)
