"""The server's HTTP/2, asked frame by frame."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from time import monotonic

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bentos.core.errors import Overloaded
from bentos.fraud.grpc.calls import Call
from bentos.fraud.grpc.http2 import frames
from bentos.fraud.grpc.http2.connection import INITIAL_WINDOW, MAXIMUM_STREAMS
from bentos.fraud.grpc.http2.frames import ErrorCode, Setting, frame, window_update
from bentos.fraud.grpc.http2.hpack import literal
from bentos.fraud.grpc.methods import Methods, StreamingMethod, UnaryMethod
from tests.fraud.grpc.http2.peer import Peer, call, head, message
from tests.fraud.grpc.serving import Serving, serving_methods

E = ErrorCode
BOTH = frames.END_HEADERS | frames.END_STREAM
OPEN = frame(frames.HEADERS, frames.END_HEADERS, 1, head())
PING = frame(frames.PING, 0, 0, b"12345678")


class Gate:
    """Calls that wait, so that streams stay open."""

    def __init__(self) -> None:
        self.count = 0
        self.begun = threading.Semaphore(0)

    async def wait(self, message: bytes, _: Call) -> bytes:
        self.begun.release()
        await asyncio.Event().wait()
        return message

    async def stubborn(self, message: bytes, _: Call) -> bytes:
        """Takes its time to end when it is cancelled."""
        self.begun.release()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.5)
        return message


async def _echo(content: bytes, _: Call) -> bytes:
    return content


async def _late(_: bytes, call: Call) -> bytes:
    assert call.deadline is not None
    await asyncio.sleep(call.deadline - monotonic() + 0.001)
    raise Overloaded("the deadline passed while the request waited")


async def _deaf(_: Call) -> None:
    await asyncio.Event().wait()


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate()


@pytest.fixture(scope="module")
def serving(gate: Gate) -> Iterator[Serving]:
    limit = 4 * 1024 * 1024
    methods: Methods = {
        "/test.Service/Echo": UnaryMethod("echo", _echo, limit),
        "/test.Service/Wait": UnaryMethod("wait", gate.wait, limit),
        "/test.Service/Late": UnaryMethod("late", _late, limit),
        "/test.Service/Deaf": StreamingMethod("deaf", _deaf, limit),
        "/test.Service/Stubborn": UnaryMethod("stubborn", gate.stubborn, limit),
    }
    with serving_methods(methods) as opened:
        yield opened


@pytest.fixture
def peer(serving: Serving) -> Iterator[Peer]:
    with Peer(serving.server.port) as opened:
        yield opened


def _setting(key: int, value: int) -> bytes:
    return key.to_bytes(2, "big") + value.to_bytes(4, "big")


def test_a_call(peer: Peer) -> None:
    peer.send(call(1, b"hello"))
    data, trailers = peer.answer(1)
    assert (data, trailers["grpc-status"]) == (message(b"hello"), "0")


def test_octets_may_come_one_by_one(serving: Serving) -> None:
    with Peer(serving.server.port, None) as peer:
        for octet in frames.PREFACE + frame(frames.SETTINGS, 0, 0) + call(1, b"slow"):
            peer.send(bytes([octet]))
        assert peer.answer(1)[0] == message(b"slow")


def test_headers_may_be_padded_prioritised_and_continued(peer: Peer) -> None:
    block = head()
    first = b"\x03" + b"\0\0\0\0\x10" + block[:20] + b"pad"
    peer.send(
        frame(frames.HEADERS, frames.PADDED | frames.PRIORITISED, 1, first)
        + frame(frames.CONTINUATION, 0, 1, block[20:40])
        + frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[40:])
        + frame(frames.DATA, frames.PADDED, 1, b"\x02" + message(b"in two")[:3] + b"\0\0")
        + frame(frames.DATA, 0, 1, message(b"in two")[3:])
        + frame(frames.DATA, frames.END_STREAM, 1)
    )
    assert peer.answer(1)[0] == message(b"in two")


def test_a_call_may_end_with_trailers(peer: Peer) -> None:
    peer.send(OPEN + frame(frames.DATA, 0, 1, message(b"x")) + frame(frames.HEADERS, BOTH, 1, literal(b"a", b"b")))
    assert peer.answer(1)[0] == message(b"x")


def test_pings_are_answered_however_many(peer: Peer) -> None:
    peer.send(PING * 1000)
    for _ in range(1000):
        assert peer.until(frames.PING, flags=frames.ACK).payload == b"12345678"


def test_settings_are_acknowledged(peer: Peer) -> None:
    peer.until(frames.SETTINGS, flags=frames.ACK)
    # An unknown one is none of ours.
    peer.send(frame(frames.SETTINGS, 0, 0, _setting(0x99, 1)))
    peer.until(frames.SETTINGS, flags=frames.ACK)


def test_unknown_frames_and_priorities_are_ignored(peer: Peer) -> None:
    peer.send(frame(0x42, 0xFF, 7, b"grease") + frame(frames.PRIORITY, 0, 5, b"\0\0\0\x03\x01") + call(1, b"x"))
    assert peer.answer(1)[0] == message(b"x")


def test_a_smaller_table_of_the_peer_is_kept_to(serving: Serving) -> None:
    with Peer(serving.server.port, _setting(Setting.HEADER_TABLE_SIZE, 0)) as peer:
        peer.send(call(1, b"x"))
        assert peer.until(frames.HEADERS, 1).payload[:1] == b"\x20"


def test_answers_keep_to_the_peer_s_windows(serving: Serving) -> None:
    content = bytes(100_000)
    with Peer(serving.server.port, _setting(Setting.INITIAL_WINDOW_SIZE, 10)) as peer:
        peer.send(
            frame(frames.HEADERS, frames.END_HEADERS, 1, head())
            + b"".join(frame(frames.DATA, 0, 1, message(content)[at : at + 16_000]) for at in range(0, 100_005, 16_000))
            + frame(frames.DATA, frames.END_STREAM, 1)
        )
        got = peer.until(frames.DATA, 1).payload
        assert len(got) == 10
        # The stream's own window, the initial one, and the connection's, of 65,535 octets.
        peer.send(window_update(1, 5) + PING)
        got += peer.until(frames.DATA, 1).payload
        assert len(got) == 15
        peer.send(frame(frames.SETTINGS, 0, 0, _setting(Setting.INITIAL_WINDOW_SIZE, 200_000)))
        while len(got) < 65_535:
            got += peer.until(frames.DATA, 1).payload
        assert len(got) == 65_535
        peer.send(window_update(0, 100_000))
        data, trailers = peer.answer(1)
        assert got + data == message(content)
        assert trailers["grpc-status"] == "0"


def test_windows_may_open_octet_by_octet(serving: Serving) -> None:
    numbers = range(1, 201, 2)
    with Peer(serving.server.port, _setting(Setting.INITIAL_WINDOW_SIZE, 0)) as peer:
        peer.send(b"".join(call(number, b"%d" % number) for number in numbers))
        for number in numbers:
            peer.until(frames.HEADERS, number)
        for _ in range(4 * 200):
            peer.send(window_update(0, 1))
        opened = b"".join(window_update(number, 1) for number in numbers)
        # None of these is longer than a message's prefix and three digits.
        peer.send(opened * 8)
        got: dict[int, bytes] = {}
        ended = 0
        while ended < len(numbers) and (received := peer.receive()) is not None:
            if received.kind == frames.DATA:
                got[received.number] = got.get(received.number, b"") + received.payload
            ended += received.kind == frames.HEADERS
        assert got == {number: message(b"%d" % number) for number in numbers}


def test_frames_may_be_as_large_as_the_peer_allows(serving: Serving) -> None:
    values = _setting(Setting.MAX_FRAME_SIZE, 50_000) + _setting(Setting.INITIAL_WINDOW_SIZE, 100_000)
    with Peer(serving.server.port, values) as peer:
        parts = [message(bytes(40_000))[at : at + 16_000] for at in range(0, 40_005, 16_000)]
        peer.send(OPEN + b"".join(frame(frames.DATA, 0, 1, part) for part in parts))
        peer.send(frame(frames.DATA, frames.END_STREAM, 1))
        assert len(peer.until(frames.DATA, 1).payload) == 40_005


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (frame(frames.DATA, 0, 0, b"x"), E.PROTOCOL_ERROR),
        (frame(frames.DATA, 0, 5, b"x"), E.PROTOCOL_ERROR),
        (OPEN + frame(frames.DATA, frames.PADDED, 1, b"\x05abc"), E.PROTOCOL_ERROR),
        (OPEN + frame(frames.DATA, frames.PADDED, 1), E.PROTOCOL_ERROR),
        (frame(frames.HEADERS, BOTH, 0, head()), E.PROTOCOL_ERROR),
        (frame(frames.HEADERS, BOTH, 2, head()), E.PROTOCOL_ERROR),
        (frame(frames.HEADERS, BOTH | frames.PRIORITISED, 1, b"\0\0"), E.FRAME_SIZE_ERROR),
        (frame(frames.HEADERS, BOTH, 1, b"\xff\xff\xff\xff\xff\x0f"), E.COMPRESSION_ERROR),
        (frame(frames.HEADERS, BOTH, 1, b"\x80"), E.COMPRESSION_ERROR),
        (frame(frames.HEADERS, 0, 1, head()) + PING, E.PROTOCOL_ERROR),
        (frame(frames.HEADERS, 0, 1, head()) + frame(frames.CONTINUATION, 4, 3, b""), E.PROTOCOL_ERROR),
        (frame(frames.HEADERS, 0, 1, head()) + frame(frames.CONTINUATION, 0, 1) * 2, E.PROTOCOL_ERROR),
        (frame(frames.HEADERS, 0, 1) + frame(frames.CONTINUATION, 0, 1, bytes(16_000)) * 3, E.ENHANCE_YOUR_CALM),
        (frame(frames.CONTINUATION, 4, 1, b""), E.PROTOCOL_ERROR),
        (frame(frames.RST_STREAM, 0, 0, bytes(4)), E.PROTOCOL_ERROR),
        (frame(frames.RST_STREAM, 0, 1, bytes(4)), E.PROTOCOL_ERROR),
        (OPEN + frame(frames.RST_STREAM, 0, 1, bytes(3)), E.FRAME_SIZE_ERROR),
        (frame(frames.PRIORITY, 0, 0, bytes(5)), E.PROTOCOL_ERROR),
        (frame(frames.PRIORITY, 0, 1, bytes(4)), E.FRAME_SIZE_ERROR),
        (frame(frames.SETTINGS, 0, 1), E.PROTOCOL_ERROR),
        (frame(frames.SETTINGS, 0, 0, b"abc"), E.FRAME_SIZE_ERROR),
        (frame(frames.SETTINGS, frames.ACK, 0, bytes(6)), E.FRAME_SIZE_ERROR),
        (frame(frames.SETTINGS, 0, 0, _setting(Setting.ENABLE_PUSH, 2)), E.PROTOCOL_ERROR),
        (frame(frames.SETTINGS, 0, 0, _setting(Setting.MAX_FRAME_SIZE, 100)), E.PROTOCOL_ERROR),
        (frame(frames.SETTINGS, 0, 0, _setting(Setting.INITIAL_WINDOW_SIZE, 2**31)), E.FLOW_CONTROL_ERROR),
        (frame(frames.PUSH_PROMISE, 4, 1, bytes(8)), E.PROTOCOL_ERROR),
        (frame(frames.PING, 0, 1, bytes(8)), E.PROTOCOL_ERROR),
        (frame(frames.PING, 0, 0, bytes(7)), E.FRAME_SIZE_ERROR),
        (window_update(0, 0), E.PROTOCOL_ERROR),
        (window_update(0, 2**31 - 1), E.FLOW_CONTROL_ERROR),
        (window_update(9, 1), E.PROTOCOL_ERROR),
        (frame(frames.WINDOW_UPDATE, 0, 0, b"\0"), E.FRAME_SIZE_ERROR),
        (frame(frames.DATA, 0, 1, bytes(16_385)), E.FRAME_SIZE_ERROR),
    ],
)
def test_who_breaks_the_rules_loses_the_connection(serving: Serving, peer: Peer, what: bytes, code: ErrorCode) -> None:
    peer.send(what)
    goodbye = peer.ended()
    assert goodbye is not None
    assert goodbye.error is code
    _still_serves(serving)


@pytest.mark.parametrize(
    "greeting",
    [
        b"GET / HTTP/1.1\r\nhost: here\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n",
        frames.PREFACE + PING,
        frames.PREFACE + frame(frames.SETTINGS, frames.ACK, 0),
    ],
)
def test_who_does_not_greet_is_not_served(serving: Serving, greeting: bytes) -> None:
    with Peer(serving.server.port, None) as peer:
        peer.send(greeting)
        goodbye = peer.ended()
        assert goodbye is not None
        assert goodbye.error is E.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (call(1, b"", head(method=None)), E.PROTOCOL_ERROR),
        (call(1, b"", head(path=None)), E.PROTOCOL_ERROR),
        (call(1, b"", head(scheme=None)), E.PROTOCOL_ERROR),
        (call(1, b"", head(nonsense="x")), E.PROTOCOL_ERROR),
        (call(1, b"", literal(b"a", b"b") + head()), E.PROTOCOL_ERROR),
        (call(1, b"", literal(b":path", b"/other") + head()), E.PROTOCOL_ERROR),
        (call(1, b"", head("/test.Service/Echo", ("Upper", "x"))), E.PROTOCOL_ERROR),
        (call(1, b"", head("/test.Service/Echo", ("connection", "close"))), E.PROTOCOL_ERROR),
        (call(1, b"", head("/test.Service/Echo", ("te", "gzip"))), E.PROTOCOL_ERROR),
        (OPEN + frame(frames.HEADERS, frames.END_HEADERS, 1, head()), E.PROTOCOL_ERROR),
        (OPEN + window_update(1, 0), E.PROTOCOL_ERROR),
        (OPEN + window_update(1, 2**31 - 1), E.FLOW_CONTROL_ERROR),
        (
            frame(frames.HEADERS, frames.END_HEADERS, 1, head("/test.Service/Deaf"))
            + frame(frames.DATA, 0, 1, message(b"") * 3_000) * (INITIAL_WINDOW // 15_000 + 1),
            E.FLOW_CONTROL_ERROR,
        ),
        (
            frame(frames.HEADERS, frames.END_HEADERS, 1, head("/test.Service/Wait"))
            + frame(frames.DATA, frames.END_STREAM, 1, message(b""))
            + frame(frames.DATA, 0, 1, b"more"),
            E.STREAM_CLOSED,
        ),
        (call(3, b"") + frame(frames.HEADERS, BOTH, 1, head()), E.STREAM_CLOSED),
    ],
)
def test_a_call_that_breaks_the_rules_is_lost_alone(peer: Peer, what: bytes, code: ErrorCode) -> None:
    peer.send(what)
    assert peer.until(frames.RST_STREAM, 1).error is code
    peer.send(call(5, b"next"))
    assert peer.answer(5)[0] == message(b"next")


@pytest.mark.parametrize(
    ("what", "status"),
    [
        (call(1, b"", head("/test.Service/Other")), "12"),
        (call(1, b"", head(method="GET")), "12"),
        (call(1, b"", head("/test.Service/Echo", ("grpc-encoding", "gzip"))), "12"),
        (call(1, b"", head("/test.Service/Echo", ("grpc-timeout", "soon"))), "3"),
        (call(1, b"", head("/test.Service/Echo", ("grpc-timeout", "0n"))), "4"),
        (call(1, b"", head("/test.Service/Echo", *[(f"x-{number}", "v" * 500) for number in range(31)])), "8"),
        (frame(frames.HEADERS, BOTH, 1, head()), "3"),
        (OPEN + frame(frames.DATA, frames.END_STREAM, 1), "3"),
        (OPEN + frame(frames.DATA, frames.END_STREAM, 1, b"\0\0"), "3"),
        (OPEN + frame(frames.DATA, frames.END_STREAM, 1, message(b"one") + message(b"two")), "3"),
        (OPEN + frame(frames.DATA, 0, 1, message(b"one") + message(b"two")), "3"),
        (OPEN + frame(frames.DATA, frames.END_STREAM, 1, message(b"half")[:-1]), "3"),
        (OPEN + frame(frames.DATA, frames.END_STREAM, 1, b"\x01" + message(b"x")[1:]), "12"),
        (OPEN + frame(frames.DATA, 0, 1, b"\0\xff\xff\xff\xff"), "8"),
    ],
)
def test_a_call_that_is_none_of_grpc_gets_a_status(peer: Peer, what: bytes, status: str) -> None:
    peer.send(what)
    assert peer.answer(1)[1]["grpc-status"] == status
    peer.send(call(3, b"next"))
    assert peer.answer(3)[0] == message(b"next")


def test_a_timeout_is_read_in_its_unit(peer: Peer) -> None:
    for number, timeout in enumerate(("1H", "2M", "30S", "30000m", "30000000u", "99999999n")):
        peer.send(call(2 * number + 1, b"x", head("/test.Service/Echo", ("grpc-timeout", timeout))))
        assert peer.answer(2 * number + 1)[1]["grpc-status"] == "0"


def test_who_is_too_late_for_his_caller_says_so(peer: Peer) -> None:
    peer.send(call(1, b"", head("/test.Service/Late", ("grpc-timeout", "20m"))))
    assert peer.answer(1)[1]["grpc-status"] == "4"


def test_what_takes_too_long_to_come_is_ended(serving: Serving, peer: Peer) -> None:
    async def sweep(seconds: float) -> None:
        serving.server.sweep(monotonic() + seconds)

    waiting = frame(frames.HEADERS, frames.END_HEADERS, 3, head("/test.Service/Wait"))
    half = frame(frames.HEADERS, frames.END_HEADERS, 5, head()) + frame(frames.DATA, 0, 5, message(b"half")[:-1])
    with Peer(serving.server.port, None) as silent:
        peer.send(waiting + frame(frames.DATA, frames.END_STREAM, 3, message(b"")) + half + PING)
        peer.until(frames.PING, flags=frames.ACK)
        serving.loop.run(sweep(5))
        peer.send(PING)
        while (received := peer.receive()) is not None and received.kind != frames.PING:
            assert received.kind != frames.RST_STREAM
        serving.loop.run(sweep(100))
        ended = peer.until(frames.RST_STREAM)
        assert (ended.number, ended.error) == (5, E.CANCEL)
        assert silent.ended() is None
    # The call that has come whole takes as long as it takes.
    peer.send(call(7, b"next"))
    assert peer.answer(7)[0] == message(b"next")


def test_headers_are_kept_between_calls(peer: Peer) -> None:
    kept = b"\x40" + literal(b":path", b"/test.Service/Echo")[1:]
    rest = b"\x83\x86" + literal(b"content-type", b"application/grpc")
    for number, path in ((1, kept), (3, b"\xbe"), (5, b"\xbe")):
        peer.send(call(number, b"%d" % number, path + rest))
        assert peer.answer(number)[0] == message(b"%d" % number)
    # The same octets mean something else when the table has changed.
    peer.send(call(7, b"", b"\x40" + literal(b":path", b"/test.Service/Other")[1:] + rest))
    assert peer.answer(7)[1]["grpc-status"] == "12"
    peer.send(call(9, b"", b"\xbe" + rest))
    assert peer.answer(9)[1]["grpc-status"] == "12"


def test_more_calls_than_allowed_are_refused(peer: Peer, gate: Gate) -> None:
    block = head("/test.Service/Wait")
    peer.send(b"".join(call(2 * number + 1, b"", block) for number in range(MAXIMUM_STREAMS + 1)))
    assert peer.until(frames.RST_STREAM).number == 2 * MAXIMUM_STREAMS + 1
    for _ in range(MAXIMUM_STREAMS):
        assert gate.begun.acquire(timeout=20)
    peer.send(frame(frames.RST_STREAM, 0, 1, bytes(4)))
    # It is over when its work is, soon.
    for number in range(2 * MAXIMUM_STREAMS + 3, 2 * MAXIMUM_STREAMS + 2_003, 2):
        peer.send(call(number, b"room again"))
        if peer.until_any((frames.RST_STREAM, frames.DATA), number).kind == frames.DATA:
            return
    pytest.fail("there is no room after a cancellation")


def test_cancelling_is_no_way_around_the_limit(peer: Peer, gate: Gate) -> None:
    block = head("/test.Service/Stubborn")
    numbers = [2 * number + 1 for number in range(MAXIMUM_STREAMS)]
    peer.send(b"".join(call(number, b"", block) for number in numbers))
    for _ in numbers:
        assert gate.begun.acquire(timeout=20)
    peer.send(b"".join(frame(frames.RST_STREAM, 0, number, bytes(4)) for number in numbers))
    peer.send(call(2 * MAXIMUM_STREAMS + 1, b""))
    refused = peer.until(frames.RST_STREAM, 2 * MAXIMUM_STREAMS + 1)
    assert refused.error is E.REFUSED_STREAM


def test_frames_of_streams_that_are_over_are_ignored(peer: Peer) -> None:
    peer.send(call(1, b"x"))
    peer.answer(1)
    peer.send(
        frame(frames.RST_STREAM, 0, 1, bytes(4))
        + window_update(1, 5)
        + frame(frames.DATA, 0, 1, b"late")
        + call(3, b"y")
    )
    assert peer.answer(3)[0] == message(b"y")


def test_a_peer_that_does_not_read_is_not_read_from(serving: Serving) -> None:
    windows = _setting(Setting.INITIAL_WINDOW_SIZE, 2**31 - 1)
    with Peer(serving.server.port, windows) as peer:
        peer.send(window_update(0, 2**31 - 1 - 65_535))
        content = bytes(16_000)
        sent = threading.Thread(
            target=lambda: peer.send(b"".join(call(2 * number + 1, content) for number in range(4000))), daemon=True
        )
        sent.start()
        # 64 MB of answers, more than any socket holds: sending only ends when the answers are read.
        sent.join(1)
        assert sent.is_alive()
        for number in range(4000):
            assert peer.answer(2 * number + 1)[0] == message(content)
        sent.join(20)
        assert not sent.is_alive()


FRAMES = st.builds(
    frame,
    st.integers(0, 11),
    st.sampled_from([0, 1, 4, 5, 8, 12, 13, 32, 36, 37, 45, 255]),
    st.sampled_from([0, 1, 2, 3, 5, 7, 2**31 - 1]),
    st.one_of(
        st.binary(max_size=40),
        st.just(head()),
        st.just(head("/test.Service/Wait")),
        st.binary(max_size=8).map(message),
        st.binary(min_size=4, max_size=4),
        st.binary(min_size=8, max_size=8),
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FRAMES, max_size=12), st.binary(max_size=20))
def test_nonsense_hurts_nobody_else(serving: Serving, sent: list[bytes], rest: bytes) -> None:
    with Peer(serving.server.port) as peer:
        peer.send(b"".join(sent) + rest)
    _still_serves(serving)


def _still_serves(serving: Serving) -> None:
    with Peer(serving.server.port) as other:
        other.send(call(1, b"well"))
        assert other.answer(1)[0] == message(b"well")
