"""What a connection sends: answers as fast as the peer's windows allow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from bentos.fraud.grpc.http2 import frames
from bentos.fraud.grpc.http2.frames import FRAME_HEADER, ConnectionFailure, ErrorCode, Setting, frame
from bentos.fraud.grpc.http2.hpack import DEFAULT_TABLE_SIZE
from bentos.fraud.grpc.http2.stream import Stream

__all__ = ["Sender"]

_END: Final = frames.END_HEADERS | frames.END_STREAM
_LARGEST_FRAME: Final = 2**24 - 1
#: The first words of a header block after the peer has made its table smaller: it stays empty (RFC 7541, section 4.2).
_NO_TABLE: Final = b"\x20"


class Sender:
    """The sending half of a connection.

    Parameters
    ----------
    transport
        Where frames go.
    streams
        The connection's open streams by their numbers. Others are silently sent nothing.
    finished
        Called when a stream has been sent to its end.
    """

    def __init__(
        self, transport: asyncio.Transport, streams: Mapping[int, Stream], finished: Callable[[Stream], None]
    ) -> None:
        self._transport = transport
        self._streams = streams
        self._finished = finished
        self._window = frames.DEFAULT_WINDOW
        self._initial_window = frames.DEFAULT_WINDOW
        self._blocked: dict[int, Stream] = {}
        self._unblocked = False
        self._frame_size = frames.DEFAULT_FRAME_SIZE
        self._paused = False
        self._table_size = DEFAULT_TABLE_SIZE
        self._block_prefix = b""

    def respond(self, stream: Stream, head: bytes, data: bytes, trailers: bytes) -> None:
        """Send a whole answer: a block of headers, data, a block of trailers."""
        size = len(data)
        if self._paused or size > min(self._initial_window + stream.credit, self._window, self._frame_size):
            self.send_head(stream, head)
            self.send_data(stream, data)
            self.send_trailers(stream, trailers)
        elif stream.number in self._streams:
            number, pack = stream.number, FRAME_HEADER.pack
            self._window -= size
            head = self._block(head)
            self._transport.write(
                b"".join(
                    (
                        pack(0, len(head), frames.HEADERS, frames.END_HEADERS, number),
                        head,
                        pack(size >> 16, size & 0xFFFF, frames.DATA, 0, number),
                        data,
                        pack(0, len(trailers), frames.HEADERS, _END, number),
                        trailers,
                    )
                )
            )
            self._finished(stream)

    def send_head(self, stream: Stream, block: bytes) -> None:
        """Send a block of headers."""
        if stream.number in self._streams:
            self._transport.write(frame(frames.HEADERS, frames.END_HEADERS, stream.number, self._block(block)))

    def send_data(self, stream: Stream, data: bytes) -> None:
        """Send data, now or when the windows allow."""
        stream.outgoing += data
        self._pump(stream)

    def send_trailers(self, stream: Stream, block: bytes) -> None:
        """End a stream, after all data."""
        stream.trailers = block
        self._pump(stream)

    def pause(self) -> None:
        """The peer does not read."""
        self._paused = True

    def resume(self) -> None:
        """It reads again."""
        self._paused = False
        self._unblocked = True
        self.flush()

    def open_window(self, octets: int) -> None:
        """The peer takes so many octets more on the connection.

        Raises
        ------
        ConnectionFailure
            That makes more than HTTP/2 allows.
        """
        self._window += octets
        if self._window > frames.LARGEST_WINDOW:
            raise ConnectionFailure(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is too large")
        self._unblocked = True

    def open_stream_window(self, stream: Stream, octets: int) -> bool:
        """The peer takes so many octets more on a stream; whether HTTP/2 allows that."""
        stream.credit += octets
        if self._initial_window + stream.credit > frames.LARGEST_WINDOW:
            return False
        self._pump(stream)
        return True

    def flush(self) -> None:
        """Send what windows that have opened allow.

        To be called once for all that has been received together: a peer may open a window octet by octet, and each
        look at a thousand streams costs.
        """
        if self._unblocked:
            self._unblocked = False
            for stream in list(self._blocked.values()):
                self._pump(stream)

    def forget(self, stream: Stream) -> None:
        """Send no more on a stream."""
        self._blocked.pop(stream.number, None)

    def apply(self, setting: int, value: int) -> None:
        """The peer says how it is to be sent to.

        Raises
        ------
        ConnectionFailure
            It says something that is not allowed.
        """
        if setting == Setting.INITIAL_WINDOW_SIZE:
            if value > frames.LARGEST_WINDOW:
                raise ConnectionFailure(ErrorCode.FLOW_CONTROL_ERROR, "the initial window is too large")
            self._initial_window = value
            self._unblocked = True
        elif setting == Setting.MAX_FRAME_SIZE:
            if not frames.DEFAULT_FRAME_SIZE <= value <= _LARGEST_FRAME:
                raise ConnectionFailure(ErrorCode.PROTOCOL_ERROR, f"frames cannot be {value} octets long")
            self._frame_size = value
        elif setting == Setting.HEADER_TABLE_SIZE:
            if value < self._table_size:
                self._block_prefix = _NO_TABLE
            self._table_size = value
        elif setting == Setting.ENABLE_PUSH and value not in (0, 1):
            raise ConnectionFailure(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1")

    def _block(self, block: bytes) -> bytes:
        if not self._block_prefix:
            return block
        prefix, self._block_prefix = self._block_prefix, b""
        return prefix + block

    def _pump(self, stream: Stream) -> None:
        if stream.number not in self._streams:
            return
        outgoing = stream.outgoing
        while outgoing:
            size = min(len(outgoing), self._initial_window + stream.credit, self._window, self._frame_size)
            if size <= 0 or self._paused:
                self._blocked[stream.number] = stream
                return
            self._transport.write(frame(frames.DATA, 0, stream.number, bytes(outgoing[:size])))
            del outgoing[:size]
            stream.credit -= size
            self._window -= size
        self._blocked.pop(stream.number, None)
        stream.on_drained()
        if stream.trailers is not None:
            self._transport.write(frame(frames.HEADERS, _END, stream.number, stream.trailers))
            self._finished(stream)
