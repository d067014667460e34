"""From octets to frames: what a connection receives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from bentos.fraud.grpc.http2 import frames
from bentos.fraud.grpc.http2.frames import FRAME_HEADER, FRAME_HEADER_SIZE, ConnectionFailure, ErrorCode

__all__ = ["FrameReader", "Received"]

_MAXIMUM_HEADER_BLOCK: Final = 32 * 1024
_PRIORITY_SIZE: Final = 5
_SIZES: Final = {frames.PRIORITY: _PRIORITY_SIZE, frames.RST_STREAM: 4, frames.PING: 8, frames.WINDOW_UPDATE: 4}
_OF_STREAMS: Final = frozenset((frames.PRIORITY, frames.RST_STREAM))
_NUMBER: Final = 0x7FFFFFFF
#: All flags of headers but the end of the stream; few clients set any but the end of the headers.
_UNUSUAL: Final = frames.END_HEADERS | frames.PADDED | frames.PRIORITISED
_OF_CONNECTION: Final = frozenset((frames.SETTINGS, frames.PING, frames.GOAWAY))


class Received(NamedTuple):
    """A frame; headers with all that continues them.

    Parameters
    ----------
    kind, flags, number
        Its type, its flags, its stream.
    payload
        Without padding and priority.
    size
        Octets that count against windows.
    """

    kind: int
    flags: int
    number: int
    payload: bytes
    size: int


class FrameReader:
    """Takes apart what one connection receives."""

    def __init__(self) -> None:
        #: Whether the peer has shown that it speaks HTTP/2.
        self.greeted = False
        self._rest = b""
        # The only kind of frame that may come next, if there is only one.
        self._expected: int | None = frames.SETTINGS
        self._begun = Received(frames.HEADERS, 0, 0, b"", 0)
        self._block = bytearray()

    def feed(self, data: bytes) -> Iterator[Received]:
        """Frames that are complete with these octets.

        Raises
        ------
        ConnectionFailure
            The octets break the rules. The frames before them have been given.
        """
        if self._rest:
            data = self._rest + data
            self._rest = b""
        position, end = self._greeting(data), len(data)
        unpack = FRAME_HEADER.unpack_from
        while self.greeted and end - position >= FRAME_HEADER_SIZE:
            high, low, kind, flags, number = unpack(data, position)
            size = high << 16 | low
            if size > frames.DEFAULT_FRAME_SIZE:
                raise ConnectionFailure(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {size} octets")
            start = position + FRAME_HEADER_SIZE
            if end - start < size:
                break
            position = start + size
            if self._expected is not None and kind != self._expected:
                raise ConnectionFailure(ErrorCode.PROTOCOL_ERROR, f"a frame of type {kind}, expected {self._expected}")
            received = Received(kind, flags, number & _NUMBER, data[start:position], size)
            # Most frames are headers, as nearly every client sends them, and data.
            if flags & _UNUSUAL == frames.END_HEADERS * kind and kind <= frames.HEADERS:
                yield received
            elif (completed := self._completed(received)) is not None:
                yield completed
        self._rest = data[position:]

    def _greeting(self, data: bytes) -> int:
        if self.greeted:
            return 0
        preface = frames.PREFACE
        if not preface.startswith(data[: len(preface)]):
            raise ConnectionFailure(ErrorCode.PROTOCOL_ERROR, "this port speaks HTTP/2 with prior knowledge, for gRPC")
        if len(data) < len(preface):
            return 0
        self.greeted = True
        return len(preface)

    def _completed(self, received: Received) -> Received | None:
        """What is to be handled now, if anything."""
        kind = received.kind
        if kind in (frames.DATA, frames.HEADERS) and received.flags & frames.PADDED:
            received = _unpadded(received)
        if kind == frames.HEADERS:
            return self._begin(received)
        if kind == frames.CONTINUATION:
            return self._continue(received)
        # What is not known is to be ignored (RFC 9113, section 5.5).
        if kind > frames.CONTINUATION:
            return None
        self._check(received)
        return received

    def _begin(self, received: Received) -> Received | None:
        if received.flags & frames.PRIORITISED:
            if len(received.payload) < _PRIORITY_SIZE:
                raise ConnectionFailure(ErrorCode.FRAME_SIZE_ERROR, "headers shorter than their priority")
            received = received._replace(payload=received.payload[_PRIORITY_SIZE:])
        if received.flags & frames.END_HEADERS:
            return received
        self._begun, self._block = received, bytearray(received.payload)
        self._expected = frames.CONTINUATION
        return None

    def _continue(self, received: Received) -> Received | None:
        last = received.flags & frames.END_HEADERS
        if self._expected is None or received.number != self._begun.number or not (received.payload or last):
            raise ConnectionFailure(ErrorCode.PROTOCOL_ERROR, "a continuation of nothing, or with nothing")
        self._block += received.payload
        if len(self._block) > _MAXIMUM_HEADER_BLOCK:
            raise ConnectionFailure(ErrorCode.ENHANCE_YOUR_CALM, f"headers of more than {_MAXIMUM_HEADER_BLOCK} octets")
        if not last:
            return None
        self._expected = None
        return self._begun._replace(payload=bytes(self._block))

    def _check(self, received: Received) -> None:
        kind, flags, number, payload, size = received
        if kind == frames.PUSH_PROMISE:
            raise ConnectionFailure(ErrorCode.PROTOCOL_ERROR, "clients do not push")
        if kind in _OF_STREAMS and not number:
            raise ConnectionFailure(ErrorCode.PROTOCOL_ERROR, f"a frame of type {kind} of the connection")
        if kind in _OF_CONNECTION and number:
            raise ConnectionFailure(ErrorCode.PROTOCOL_ERROR, f"a frame of type {kind} of a stream")
        if size != _SIZES.get(kind, size) or (kind == frames.SETTINGS and not _settings_size(flags, payload)):
            raise ConnectionFailure(ErrorCode.FRAME_SIZE_ERROR, f"a frame of type {kind} with {size} octets")
        if kind == frames.SETTINGS and self._expected == frames.SETTINGS:
            if flags & frames.ACK:
                raise ConnectionFailure(ErrorCode.PROTOCOL_ERROR, "the first settings acknowledge others")
            self._expected = None


def _settings_size(flags: int, payload: bytes) -> bool:
    return not payload if flags & frames.ACK else len(payload) % frames.SETTING_SIZE == 0


def _unpadded(received: Received) -> Received:
    payload = received.payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFailure(ErrorCode.PROTOCOL_ERROR, "more padding than frame")
    return received._replace(payload=payload[1 : len(payload) - payload[0]])
