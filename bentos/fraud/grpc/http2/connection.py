"""One HTTP/2 connection, the server's side.

Everything happens in the event loop's own calls; what takes time is done by the streams. Memory is bounded by windows:
a peer that sends more than it may loses the connection, one that does not read is not read from.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, Generic, TypeVar, cast

from bentos.fraud.grpc.http2 import frames
from bentos.fraud.grpc.http2.frames import ConnectionFailure, ErrorCode, Setting, frame
from bentos.fraud.grpc.http2.hpack import Decoder, HpackError
from bentos.fraud.grpc.http2.receiving import FrameReader, Received
from bentos.fraud.grpc.http2.sending import Sender
from bentos.fraud.grpc.http2.stream import Acceptor, Stream

__all__ = ["INITIAL_WINDOW", "Connection"]

HeadT = TypeVar("HeadT")

#: Exchanges of one connection at a time. One that the peer has cancelled counts until its work has really ended:
#: cancelling is no way around the limit.
MAXIMUM_STREAMS: Final = 1024
#: Octets that a peer may send on a new stream, and on the connection, before it is given more.
INITIAL_WINDOW: Final = 128 * 1024
_CONNECTION_WINDOW: Final = 8 * 1024 * 1024
_MAXIMUM_HEADER_LIST: Final = 16 * 1024
#: Header blocks whose meaning is remembered, and their length. A client's calls mostly differ in their data only.
_REMEMBERED_BLOCKS: Final = 64
_REMEMBERED_OCTETS: Final = 1024
#: Seconds until the preface of a new connection must have come.
_GREETING_SECONDS: Final = 10.0
_DRAINING: Final = b"draining"

_GREETING: Final = frames.settings(
    {
        Setting.MAX_CONCURRENT_STREAMS: MAXIMUM_STREAMS,
        Setting.INITIAL_WINDOW_SIZE: INITIAL_WINDOW,
        Setting.MAX_HEADER_LIST_SIZE: _MAXIMUM_HEADER_LIST,
    }
) + frames.window_update(0, _CONNECTION_WINDOW - frames.DEFAULT_WINDOW)
_LOGGER = logging.getLogger(__name__)


class Connection(asyncio.Protocol, Generic[HeadT]):
    """An HTTP/2 connection.

    Parameters
    ----------
    acceptor
        Reads headers and answers.
    """

    def __init__(self, acceptor: Acceptor[HeadT]) -> None:
        self._acceptor = acceptor
        self._since = monotonic()
        self._reader = FrameReader()
        self._decoder = Decoder(_MAXIMUM_HEADER_LIST)
        self._heads: dict[bytes, HeadT | None] = {}
        self._streams: dict[int, Stream] = {}
        self._lingering = 0
        self._last = 0
        self._window = _CONNECTION_WINDOW
        self._final = False
        self._transport: asyncio.Transport
        self.sender: Sender

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        # uvloop's is one by its methods alone.
        self._transport = cast("asyncio.Transport", transport)
        self.sender = Sender(self._transport, self._streams, self._sent)
        self._acceptor.connected(self)
        self._transport.write(_GREETING)

    def data_received(self, data: bytes) -> None:
        """Take what has come apart."""
        if self._transport.is_closing():
            return
        try:
            for received in self._reader.feed(data):
                handler = _HANDLERS.get(received.kind)
                if handler is not None:
                    handler(self, received)
                if self._transport.is_closing():
                    return
            self.sender.flush()
        except ConnectionFailure as failure:
            self._fail(failure.code, failure.reason)
        except HpackError as error:
            self._fail(ErrorCode.COMPRESSION_ERROR, str(error))
        except Exception:
            _LOGGER.exception("a connection failed")
            self._fail(ErrorCode.INTERNAL_ERROR, "the server failed")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Give up what was to be answered."""
        for stream in list(self._streams.values()):
            self._abandon(stream)
        self._acceptor.disconnected(self)

    def pause_writing(self) -> None:
        """The peer does not read, so it is not read from either: its requests would only pile up answers."""
        self.sender.pause()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self._transport.resume_reading()
        self.sender.resume()

    # For streams

    def widen(self, stream: Stream, octets: int) -> None:
        """Let the peer send so many octets more on a stream."""
        if stream.number in self._streams:
            stream.receive_window += octets
            self._transport.write(frames.window_update(stream.number, octets))

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """End a stream without an answer."""
        if stream.number in self._streams:
            self._send_reset(stream.number, code)
            self._abandon(stream)

    def linger(self) -> Callable[[object], None]:
        """Count a stream that is abandoned, until what this returns is called."""
        self._lingering += 1

        def over(_: object) -> None:
            self._lingering -= 1

        return over

    # For the server

    def sweep(self, now: float) -> None:
        """End what takes too long: the peer's greeting, requests that never end. ``now`` is ``time.monotonic()``."""
        if not self._reader.greeted and now - self._since > _GREETING_SECONDS:
            self._transport.abort()
        for stream in list(self._streams.values()):
            if not stream.ended and stream.overdue(now):
                self.reset(stream, ErrorCode.CANCEL)

    def drain(self) -> None:
        """Tell the peer to go elsewhere, serve what it sends before it knows, and close when nothing is left."""
        # The answer to the ping shows that the peer has read the warning (RFC 9113, section 6.8).
        self._transport.write(
            frames.goaway(frames.LARGEST_WINDOW, ErrorCode.NO_ERROR) + frame(frames.PING, 0, 0, _DRAINING)
        )
        for stream in list(self._streams.values()):
            stream.drain()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    # Frames

    def _on_data(self, received: Received) -> None:
        self._window -= received.size
        if self._window < _CONNECTION_WINDOW // 2:
            self._transport.write(frames.window_update(0, _CONNECTION_WINDOW - self._window))
            self._window = _CONNECTION_WINDOW
        stream = self._streams.get(received.number)
        if stream is None:
            self._check_known(received.number)
            return
        stream.receive_window -= received.size
        if stream.receive_window < 0 or stream.ended:
            self.reset(stream, ErrorCode.STREAM_CLOSED if stream.ended else ErrorCode.FLOW_CONTROL_ERROR)
            return
        stream.ended = bool(received.flags & frames.END_STREAM)
        stream.receive(received.payload)

    def _on_headers(self, received: Received) -> None:
        block, number = received.payload, received.number
        # Whatever becomes of the stream, the block has to be decoded: it may change the table.
        head = self._heads[block] if block in self._heads else self._decode(block)
        if number in self._streams:
            self._on_trailers(self._streams[number], received.flags)
        elif number <= self._last or not number & 1:
            self._check_known(number)
            self._send_reset(number, ErrorCode.STREAM_CLOSED)
        elif not self._final:
            self._last = number
            if len(self._streams) + self._lingering >= MAXIMUM_STREAMS:
                self._send_reset(number, ErrorCode.REFUSED_STREAM)
            elif head is None:
                self._send_reset(number, ErrorCode.PROTOCOL_ERROR)
            else:
                stream = self._streams[number] = self._acceptor.open(self, number, head)
                stream.ended = bool(received.flags & frames.END_STREAM)
                stream.begin()

    def _on_trailers(self, stream: Stream, flags: int) -> None:
        if stream.ended or not flags & frames.END_STREAM:
            self.reset(stream, ErrorCode.PROTOCOL_ERROR)
        else:
            stream.ended = True
            stream.receive(b"")

    def _decode(self, block: bytes) -> HeadT | None:
        version = self._decoder.version
        head = self._acceptor.read_head(self._decoder.decode(block))
        if self._decoder.version != version or len(self._heads) >= _REMEMBERED_BLOCKS:
            self._heads.clear()
        if self._decoder.version == version and len(block) <= _REMEMBERED_OCTETS:
            self._heads[block] = head
        return head

    def _on_reset(self, received: Received) -> None:
        stream = self._streams.get(received.number)
        if stream is None:
            self._check_known(received.number)
        else:
            self._abandon(stream)

    def _on_settings(self, received: Received) -> None:
        if received.flags & frames.ACK:
            return
        for start in range(0, received.size, frames.SETTING_SIZE):
            item = received.payload[start : start + frames.SETTING_SIZE]
            self.sender.apply(int.from_bytes(item[:2], "big"), int.from_bytes(item[2:], "big"))
        self._transport.write(frame(frames.SETTINGS, frames.ACK, 0))

    def _on_ping(self, received: Received) -> None:
        if not received.flags & frames.ACK:
            self._transport.write(frame(frames.PING, frames.ACK, 0, received.payload))
        elif received.payload == _DRAINING:
            self._transport.write(frames.goaway(self._last, ErrorCode.NO_ERROR))
            self._final = True
            self._close_if_done()

    def _on_window_update(self, received: Received) -> None:
        octets = int.from_bytes(received.payload, "big") & frames.LARGEST_WINDOW
        stream = self._streams.get(received.number)
        if not received.number:
            if not octets:
                raise ConnectionFailure(ErrorCode.PROTOCOL_ERROR, "a window opened by nothing")
            self.sender.open_window(octets)
        elif stream is None:
            self._check_known(received.number)
        elif not octets:
            self.reset(stream, ErrorCode.PROTOCOL_ERROR)
        elif not self.sender.open_stream_window(stream, octets):
            self.reset(stream, ErrorCode.FLOW_CONTROL_ERROR)

    def _check_known(self, number: int) -> None:
        """A number that is not open: fine when it has been."""
        if not number & 1 or (number > self._last and not self._final):
            raise ConnectionFailure(ErrorCode.PROTOCOL_ERROR, f"stream {number} is none of an exchange")

    # Ends

    def _sent(self, stream: Stream) -> None:
        del self._streams[stream.number]
        if not stream.ended:
            # The answer is complete, the rest of the request is of no use (RFC 9113, section 8.1).
            self._send_reset(stream.number, ErrorCode.NO_ERROR)
        if self._final:
            self._close_if_done()

    def _abandon(self, stream: Stream) -> None:
        del self._streams[stream.number]
        self.sender.forget(stream)
        stream.abandon()
        if self._final:
            self._close_if_done()

    def _close_if_done(self) -> None:
        if not self._streams:
            self._transport.close()

    def _send_reset(self, number: int, code: ErrorCode) -> None:
        self._transport.write(frame(frames.RST_STREAM, 0, number, code.to_bytes(4, "big")))

    def _fail(self, code: ErrorCode, reason: str) -> None:
        self._transport.write(frames.goaway(self._last, code, reason))
        self._transport.close()


_HANDLERS: Final[dict[int, Callable[[Connection[Any], Received], None]]] = {
    frames.DATA: Connection._on_data,
    frames.HEADERS: Connection._on_headers,
    frames.RST_STREAM: Connection._on_reset,
    frames.SETTINGS: Connection._on_settings,
    frames.PING: Connection._on_ping,
    frames.WINDOW_UPDATE: Connection._on_window_update,
}
