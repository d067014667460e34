"""Calls of gRPC, on the streams of HTTP/2 (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from time import monotonic
from typing import Any, Final

from bentos.core.errors import Overloaded
from bentos.fraud.access.guard import Guard
from bentos.fraud.eager import begin
from bentos.fraud.grpc.errors import OK_TRAILERS, CallStatus, error_status, status
from bentos.fraud.grpc.heads import Head
from bentos.fraud.grpc.http2.connection import INITIAL_WINDOW, Connection
from bentos.fraud.grpc.http2.hpack import literal
from bentos.fraud.grpc.http2.stream import Stream
from bentos.fraud.grpc.ledger import Ledger
from bentos.fraud.grpc.methods import StreamingMethod, UnaryMethod
from bentos.fraud.ids import new_id

__all__ = ["Call"]

_PREFIX_SIZE: Final = 5
#: The status 200 from HPACK's table, and the content type.
_HEAD: Final = b"\x88" + literal(b"content-type", b"application/grpc")
_HEAD_UNCOMPRESSED: Final = _HEAD + literal(b"grpc-accept-encoding", b"identity")
#: What a message that waits costs beside its octets.
_MESSAGE_COST: Final = 64
#: Seconds until a request must have ended, whatever deadline its caller has.
_REQUEST_SECONDS: Final = 60.0
_OTHER: Final = "other"


class Call(Stream):
    """A call, as its method sees it.

    Parameters
    ----------
    connection, number
        Where it came from.
    head
        What its headers say.
    ledger
        Of the server.
    """

    __slots__ = (
        "_buffer",
        "_exchange",
        "_head_sent",
        "_held",
        "_ledger",
        "_messages",
        "_over",
        "_since",
        "_task",
        "deadline",
        "head",
        "request_id",
    )

    def __init__(self, connection: Connection[Head], number: int, head: Head, ledger: Ledger) -> None:
        super().__init__(connection, number, INITIAL_WINDOW)
        self.head = head
        #: Names the call in logs.
        self.request_id = head.request_id or new_id()
        self._since = monotonic()
        timeout = head.timeout_seconds
        #: When the caller stops waiting, ``time.monotonic()`` seconds; None when it does not say.
        self.deadline = None if timeout is None else self._since + timeout
        self._ledger = ledger
        self._exchange = ledger.observer.begin("grpc", self.request_id, head.metadata)
        self._buffer = bytearray()
        # Octets of messages that have not been taken, as the ledger knows them.
        self._held = 0
        self._head_sent = False
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[bytes | None] | None = None

    @property
    def metadata(self) -> Mapping[str, str]:
        """Metadata of the request by lower-case names."""
        return self.head.metadata

    # Stream

    def begin(self) -> None:
        """Refuse what needs not be read, start what streams."""
        method = self.head.method
        if self.head.refusal is not None or method is None:
            self._refuse(self.head.refusal or status("UNIMPLEMENTED", "there is no such method"))
        elif self.deadline is not None and self.deadline <= self._since:
            self._refuse(status("DEADLINE_EXCEEDED", "the deadline had passed when the call arrived"))
        elif self._ledger.guard is not None and not self._admitted(self._ledger.guard, method.label):
            return
        elif isinstance(method, StreamingMethod):
            self._messages = asyncio.Queue()
            self._start(self._stream(method))
        elif self.ended:
            self._refuse(status("INVALID_ARGUMENT", "the call has no message"))
        elif method.admit is not None:
            try:
                method.admit()
            except Exception as error:  # noqa: BLE001 - the last line of defence: logged, and told to nobody
                self._refuse(error_status(error, self.request_id))

    def receive(self, data: bytes) -> None:
        """Collect messages."""
        method = self.head.method
        if self._over or method is None:
            return
        if self.ended and self._messages is None and not self._buffer:
            # By far the most calls: one message in one frame.
            self._take_unary(data, method)
            return
        if not self._hold(len(data)):
            self._stop(_NO_ROOM)
            return
        self._buffer += data
        if self._messages is None:
            self._collect(method)
        else:
            self._collect_streaming(method, self._messages)

    def abandon(self) -> None:
        """Stop working for nobody."""
        if self._task is not None and not self._task.done():
            self._task.add_done_callback(self.connection.linger())
            self._task.cancel()
        self._end("CANCELLED")

    def overdue(self, now: float) -> bool:
        """Whether the message of a unary call should long have come."""
        return self._messages is None and now - self._since > _REQUEST_SECONDS

    def drain(self) -> None:
        """End what streams, as if the caller had said everything."""
        if self._messages is not None:
            self._messages.put_nowait(None)

    # For streaming methods

    async def messages(self) -> AsyncIterator[bytes]:
        """The caller's messages."""
        while self._messages is not None and (message := await self._messages.get()) is not None:
            self._let_go(_PREFIX_SIZE + len(message) + _MESSAGE_COST)
            if not self.ended:
                self.connection.widen(self, _PREFIX_SIZE + len(message))
            yield message

    async def send(self, message: bytes) -> None:
        """Send a message, and wait until the caller can take the next."""
        self._send_head()
        self.connection.sender.send_data(self, _framed(message))
        await self.drained()

    # Unary calls

    def _collect(self, method: UnaryMethod | StreamingMethod) -> None:
        buffer = self._buffer
        held = len(buffer)
        if self.ended:
            self._take_unary(bytes(buffer), method)
        elif held >= _PREFIX_SIZE:
            size = _PREFIX_SIZE + int.from_bytes(buffer[1:_PREFIX_SIZE], "big")
            if size - _PREFIX_SIZE > method.limit_bytes:
                self._refuse(_too_long(method.limit_bytes))
            elif held > size:
                self._refuse(_NOT_ONE)
            elif size - held > self.receive_window:
                # The rest of this message, not more.
                self.connection.widen(self, size - held - self.receive_window)

    def _take_unary(self, data: bytes, method: UnaryMethod | StreamingMethod) -> None:
        size = len(data) - _PREFIX_SIZE
        if size < 0 or int.from_bytes(data[1:_PREFIX_SIZE], "big") != size:
            self._refuse(_NOT_ONE)
        elif data[0]:
            self._refuse(_COMPRESSED)
        elif size > method.limit_bytes:
            self._refuse(_too_long(method.limit_bytes))
        elif isinstance(method, UnaryMethod):
            answering = self._answer(method, data[_PREFIX_SIZE:])
            if method.at_once is not None and method.at_once():
                self._task = begin(asyncio.get_running_loop(), answering)
            else:
                self._start(answering)

    async def _answer(self, method: UnaryMethod, message: bytes) -> None:
        self._exchange.enter()
        try:
            answer = await method.answer(message, self)
        except Exception as error:  # noqa: BLE001 - the last line of defence: logged, and told to nobody
            self._fail(error)
            return
        if not self._over:
            self.connection.sender.respond(self, self._head(_HEAD), _framed(answer), OK_TRAILERS)
            self._end("OK")

    # Streaming calls

    def _collect_streaming(self, method: UnaryMethod | StreamingMethod, messages: asyncio.Queue[bytes | None]) -> None:
        buffer = self._buffer
        while len(buffer) >= _PREFIX_SIZE:
            size = int.from_bytes(buffer[1:_PREFIX_SIZE], "big")
            if buffer[0] or size > method.limit_bytes:
                self._stop(_COMPRESSED if buffer[0] else _too_long(method.limit_bytes))
                return
            if len(buffer) - _PREFIX_SIZE < size:
                break
            messages.put_nowait(bytes(buffer[_PREFIX_SIZE : _PREFIX_SIZE + size]))
            del buffer[: _PREFIX_SIZE + size]
            if not self._hold(_MESSAGE_COST):
                self._stop(_NO_ROOM)
                return
        if self.ended:
            messages.put_nowait(None)

    async def _stream(self, method: StreamingMethod) -> None:
        seconds = None if self.deadline is None else self.deadline - monotonic()
        try:
            async with asyncio.timeout(seconds):
                await method.serve(self)
        except TimeoutError:
            self._refuse(status("DEADLINE_EXCEEDED", "the deadline has passed"))
        except Exception as error:  # noqa: BLE001 - the last line of defence: logged, and told to nobody
            self._fail(error)
        else:
            self._close("OK", OK_TRAILERS)

    def _stop(self, why: CallStatus) -> None:
        self._refuse(why)
        if self._task is not None:
            self._task.cancel()

    def _hold(self, octets: int) -> bool:
        self._held += octets
        return self._ledger.take(octets)

    def _let_go(self, octets: int) -> None:
        if self._held:
            self._held -= octets
            self._ledger.give_back(octets)

    # Ends

    def _admitted(self, guard: Guard, label: str) -> bool:
        try:
            self._exchange.caller = guard.admit(self.head.metadata, guard.need(label))
        except Exception as error:  # noqa: BLE001 - the last line of defence: logged, and told to nobody
            self._refuse(error_status(error, self.request_id))
            return False
        return True

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, Overloaded) and self.deadline is not None and self.deadline <= monotonic():
            self._refuse(status("DEADLINE_EXCEEDED", str(error)))
        else:
            self._refuse(error_status(error, self.request_id))

    def _refuse(self, why: CallStatus) -> None:
        self._close(why.code, why.trailers())

    def _close(self, code: str, trailers: bytes) -> None:
        if not self._over:
            self._send_head()
            self._end(code)
            self.connection.sender.send_trailers(self, trailers)

    def _end(self, code: str) -> None:
        if self._over:
            return
        self._over = True
        self._let_go(self._held)
        self._buffer.clear()
        method = _OTHER if self.head.method is None else self.head.method.label
        self._ledger.observer.end(self._exchange, method, code)

    def _send_head(self) -> None:
        if not self._head_sent:
            self._head_sent = True
            self.connection.sender.send_head(self, self._head(_HEAD_UNCOMPRESSED))

    def _head(self, block: bytes) -> bytes:
        return block + literal(b"x-request-id", self.request_id.encode())


def _framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def _too_long(limit_bytes: int) -> CallStatus:
    return status(
        "RESOURCE_EXHAUSTED", f"the message is longer than {limit_bytes} bytes, the most that this call takes"
    )


_NOT_ONE: Final = status("INVALID_ARGUMENT", "the call must have one whole message")
_NO_ROOM: Final = status("RESOURCE_EXHAUSTED", "too many unfinished messages are held already; try again")
_COMPRESSED: Final = status("UNIMPLEMENTED", "compressed messages are not read; send identity")
