"""uvicorn's reader of HTTP/1.1 with a limit on what it keeps before anybody can refuse it.

It collects the address, headers and trailers of a request until they are complete, however long they get: 64 MB of
headers took 500 MB of memory, from somebody who has not yet said who he is. Bodies are limited by who reads them.
"""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["MAXIMUM_HEAD_BYTES", "BoundedProtocol"]

#: Octets that may come without an address and its headers, a part of the body, or the trailers being complete. What is
#: read at once, up to 256 KiB, comes on top.
MAXIMUM_HEAD_BYTES: Final = 64 * 1024
_DETAIL: Final = b'{"type":"about:blank","title":"Request Header Fields Too Large","status":431}'
_REFUSAL: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json\r\ncontent-length: "
    + str(len(_DETAIL)).encode()
    + b"\r\nconnection: close\r\n\r\n"
    + _DETAIL
)


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _unfinished = 0
    _advanced = False

    def data_received(self, data: bytes) -> None:
        """Read on, unless what has come for long makes nothing whole."""
        self._advanced = False
        super().data_received(data)
        if self._advanced:
            self._unfinished = 0
            return
        self._unfinished += len(data)
        if self._unfinished > MAXIMUM_HEAD_BYTES and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_REFUSAL)
                self.transport.close()
            else:
                # In the middle of a request: trailers, or the extensions of a chunk.
                self.transport.abort()

    def on_headers_complete(self) -> None:
        """The address and its headers are whole."""
        self._advanced = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """So is a part of the body."""
        self._advanced = True
        super().on_body(body)
