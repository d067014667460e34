"""A client that says exactly what a test wants."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import NamedTuple, Self

from bentos.fraud.grpc.http2 import frames
from bentos.fraud.grpc.http2.frames import ErrorCode, frame
from bentos.fraud.grpc.http2.hpack import Decoder, literal

PATH = "/test.Service/Echo"
SECONDS = 20.0


class Frame(NamedTuple):
    """A frame that came."""

    kind: int
    flags: int
    number: int
    payload: bytes

    @property
    def error(self) -> ErrorCode:
        """The reason of a GOAWAY or a RST_STREAM."""
        return ErrorCode(int.from_bytes(self.payload[4:8] if self.kind == frames.GOAWAY else self.payload[:4], "big"))


def head(path: str = PATH, *more: tuple[str, str], **changes: str | None) -> bytes:
    """The headers of a call; changes name pseudo-headers, and None leaves one out."""
    pseudo = {"method": "POST", "scheme": "http", "path": path, "authority": "test", **changes}
    fields = [(f":{name}", value) for name, value in pseudo.items() if value is not None]
    fields += [("content-type", "application/grpc"), ("te", "trailers"), *more]
    return b"".join(literal(name.encode(), value.encode()) for name, value in fields)


def message(content: bytes) -> bytes:
    """A message of gRPC."""
    return b"\0" + len(content).to_bytes(4, "big") + content


def call(number: int, content: bytes, block: bytes | None = None) -> bytes:
    """A whole call."""
    return frame(frames.HEADERS, frames.END_HEADERS, number, head() if block is None else block) + frame(
        frames.DATA, frames.END_STREAM, number, message(content)
    )


class Peer:
    """A connection to a server.

    Parameters
    ----------
    port
        Of the server.
    settings
        The payload of the first frame, None to greet not at all.
    """

    def __init__(self, port: int, settings: bytes | None = b"") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._rest = b""
        self.decoder = Decoder(1 << 20)
        if settings is not None:
            self.send(frames.PREFACE + frame(frames.SETTINGS, 0, 0, settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send some octets."""
        self._socket.sendall(data)

    def receive(self) -> Frame | None:
        """The next frame, None at the connection's end."""
        while len(self._rest) < 9 or len(self._rest) < 9 + int.from_bytes(self._rest[:3], "big"):
            try:
                data = self._socket.recv(65_536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._rest += data
        size = int.from_bytes(self._rest[:3], "big")
        kind, flags, number = self._rest[3], self._rest[4], int.from_bytes(self._rest[5:9], "big")
        payload, self._rest = self._rest[9 : 9 + size], self._rest[9 + size :]
        return Frame(kind, flags, number, payload)

    def until(self, kind: int, number: int | None = None, flags: int = 0) -> Frame:
        """The next frame of a kind, maybe of a stream, maybe with flags."""
        while (received := self.receive()) is not None:
            if received.kind == kind and number in (None, received.number) and received.flags & flags == flags:
                return received
        raise AssertionError(f"the connection ended before a frame of type {kind}")

    def until_any(self, kinds: tuple[int, ...], number: int) -> Frame:
        """The next frame of one of these kinds, of a stream."""
        while (received := self.receive()) is not None:
            if received.kind in kinds and received.number == number:
                return received
        raise AssertionError(f"the connection ended before a frame of types {kinds}")

    def answer(self, number: int) -> tuple[bytes, dict[str, str]]:
        """Data and trailers of a call."""
        data = b""
        while (received := self.receive()) is not None:
            if received.kind == frames.RST_STREAM and received.number == number:
                raise AssertionError(f"the call was reset: {received.error!r}")
            if received.kind == frames.HEADERS:
                fields = self.decoder.decode(received.payload)
                assert fields is not None
                if received.number == number and received.flags & frames.END_STREAM:
                    return data, {name.decode(): value.decode() for name, value in fields}
            elif received.kind == frames.DATA and received.number == number:
                data += received.payload
        raise AssertionError("the connection ended before the answer")

    def ended(self) -> Frame | None:
        """The GOAWAY before the connection's end, if there is one."""
        last = None
        while (received := self.receive()) is not None:
            if received.kind == frames.GOAWAY:
                last = received
        return last
