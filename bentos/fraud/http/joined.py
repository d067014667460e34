"""Sends the head and the body of an answer in one write.

uvicorn writes them one after the other, which costs a second system call, and a second packet that wakes the client.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from starlette.types import Send

__all__ = ["joined"]

#: Where uvicorn's request cycles keep the connection they write to.
_TRANSPORT: Final = "transport"


class _Joined:
    """Stands in for a connection's transport; keeps the first write until the second."""

    __slots__ = ("_first", "_transport")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._first: bytes | None = None

    def write(self, data: bytes) -> None:
        if self._first is None:
            self._first = data
        else:
            self._transport.write(self._first + data)
            self._first = b""

    def flush(self) -> None:
        if self._first:
            self._transport.write(self._first)
        self._first = b""

    def close(self) -> None:
        self.flush()
        self._transport.close()


@contextmanager
def joined(send: Send) -> Iterator[None]:
    """While it lasts, join the first two writes to the connection of one request.

    Parameters
    ----------
    send
        ASGI's. If it is not uvicorn's own, nothing is joined.
    """
    cycle = getattr(send, "__self__", None)
    transport = getattr(cycle, _TRANSPORT, None)
    if transport is None:
        yield
        return
    stand_in = _Joined(transport)
    setattr(cycle, _TRANSPORT, stand_in)
    try:
        yield
    finally:
        setattr(cycle, _TRANSPORT, transport)
        stand_in.flush()
