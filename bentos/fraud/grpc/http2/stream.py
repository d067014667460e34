"""What a connection asks of those who answer: one acceptor, and a stream for each exchange."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bentos.fraud.grpc.http2.hpack import Headers

if TYPE_CHECKING:
    from bentos.fraud.grpc.http2.connection import Connection

__all__ = ["Acceptor", "Stream"]

HeadT = TypeVar("HeadT")


class Acceptor(Protocol[HeadT]):
    """What a connection's owner does with it."""

    @abstractmethod
    def read_head(self, headers: Headers | None) -> HeadT | None:
        """What headers mean; None when they are malformed. They are None when there are too many."""

    @abstractmethod
    def open(self, connection: Connection[HeadT], number: int, head: HeadT) -> Stream:
        """A stream for an exchange that begins with those headers."""

    @abstractmethod
    def connected(self, connection: Connection[HeadT]) -> None:
        """A connection is there."""

    @abstractmethod
    def disconnected(self, connection: Connection[HeadT]) -> None:
        """A connection is gone."""


class Stream(ABC):
    """An exchange. Counts against its connection's limit until :meth:`Connection.release` is called for it.

    Parameters
    ----------
    connection
        Whose it is.
    number
        Its number there.
    receive_window
        Octets that the peer may send.
    """

    __slots__ = (
        "_drained",
        "connection",
        "credit",
        "ended",
        "number",
        "outgoing",
        "receive_window",
        "trailers",
    )

    def __init__(self, connection: Connection[Any], number: int, receive_window: int) -> None:
        self.connection = connection
        self.number = number
        self.receive_window = receive_window
        #: Octets that the peer has let be sent beside its initial window, less those that have been.
        self.credit = 0
        #: Whether the peer has said everything.
        self.ended = False
        #: What waits for a window, and the block of trailers that ends the stream after it.
        self.outgoing = bytearray()
        self.trailers: bytes | None = None
        self._drained: asyncio.Future[None] | None = None

    @abstractmethod
    def begin(self) -> None:
        """The headers have come."""

    @abstractmethod
    def receive(self, data: bytes) -> None:
        """Data have come; when ``ended``, the last."""

    @abstractmethod
    def abandon(self) -> None:
        """The peer wants no answer any more, or is gone. Nothing can be sent."""

    @abstractmethod
    def overdue(self, now: float) -> bool:
        """Whether the peer should long have ended its request. ``now`` is ``time.monotonic()``."""

    @abstractmethod
    def drain(self) -> None:
        """The server is about to stop: end by itself what would otherwise never end."""

    async def drained(self) -> None:
        """Wait until nothing waits for a window."""
        if self.outgoing:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def on_drained(self) -> None:
        """Nothing waits for a window."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
