"""Header compression (RFC 7541): a decoder, and an encoder that keeps no state."""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

from bentos.fraud.grpc.http2.huffman import HuffmanError, huffman_decode

__all__ = ["DEFAULT_TABLE_SIZE", "Decoder", "Headers", "HpackError", "literal"]

Header: TypeAlias = tuple[bytes, bytes]
Headers: TypeAlias = list[Header]

#: Octets of the dynamic table unless settings say otherwise; ours never do.
DEFAULT_TABLE_SIZE: Final = 4096
#: What an entry of a table counts beside its name and value.
_OVERHEAD: Final = 32
_SHORT_INTEGER_OCTETS: Final = 4

# Appendix A; those after the first column have no value.
_STATIC: Final[tuple[Header, ...]] = (
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    *((b":status", code) for code in (b"200", b"204", b"206", b"304", b"400", b"404", b"500")),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    *(
        (name, b"")
        for name in (
            b"accept-language accept-ranges accept access-control-allow-origin age allow authorization"
            b" cache-control content-disposition content-encoding content-language content-length content-location"
            b" content-range content-type cookie date etag expect expires from host if-match if-modified-since"
            b" if-none-match if-range if-unmodified-since last-modified link location max-forwards"
            b" proxy-authenticate proxy-authorization range referer refresh retry-after server set-cookie"
            b" strict-transport-security transfer-encoding user-agent vary via www-authenticate"
        ).split()
    ),
)


class HpackError(ValueError):
    """A header block that cannot be decoded; the connection cannot go on."""


class Decoder:
    """Decodes the header blocks of one connection, in order.

    Parameters
    ----------
    maximum_list_size
        Octets of the headers of one block as RFC 9113, section 6.5.2 counts them.
    """

    def __init__(self, maximum_list_size: int) -> None:
        self._maximum_list_size = maximum_list_size
        self._table: deque[Header] = deque()
        self._size = 0
        self._capacity = DEFAULT_TABLE_SIZE
        #: Changes with the table: equal blocks mean the same between two changes.
        self.version = 0

    def decode(self, block: bytes) -> Headers | None:
        """Headers of a block; None when they are longer than allowed, which leaves the connection usable.

        Raises
        ------
        HpackError
            The block breaks the rules.
        """
        headers: Headers = []
        listed = position = 0
        try:
            while position < len(block):
                first = block[position]
                if first & 0x80:
                    index, position = _integer(block, position, 7)
                    header = self._entry(index)
                elif first & 0xE0 == 0x20:
                    position = self._resize(block, position, first_field=not listed)
                    continue
                else:
                    kept = first & 0x40
                    header, position = self._literal(block, position, 6 if kept else 4)
                    if kept:
                        self._add(header)
                listed += len(header[0]) + len(header[1]) + _OVERHEAD
                if listed <= self._maximum_list_size:
                    headers.append(header)
        except (IndexError, HuffmanError) as error:
            raise HpackError("a header block cannot be decoded") from error
        return headers if listed <= self._maximum_list_size else None

    def _literal(self, block: bytes, position: int, bits: int) -> tuple[Header, int]:
        index, position = _integer(block, position, bits)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        return (name, value), position

    def _entry(self, index: int) -> Header:
        if not index:
            raise HpackError("there is no header 0")
        return _STATIC[index - 1] if index <= len(_STATIC) else self._table[index - len(_STATIC) - 1]

    def _add(self, header: Header) -> None:
        self.version += 1
        self._table.appendleft(header)
        self._size += len(header[0]) + len(header[1]) + _OVERHEAD
        self._evict()

    def _resize(self, block: bytes, position: int, *, first_field: bool) -> int:
        capacity, position = _integer(block, position, 5)
        if capacity > DEFAULT_TABLE_SIZE or not first_field:
            raise HpackError("the table grows beyond what was allowed, or in the midst of headers")
        self.version += 1
        self._capacity = capacity
        self._evict()
        return position

    def _evict(self) -> None:
        while self._size > self._capacity:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + _OVERHEAD


def _integer(block: bytes, position: int, bits: int) -> tuple[int, int]:
    limit = (1 << bits) - 1
    value = block[position] & limit
    position += 1
    if value < limit:
        return value, position
    for shift in range(0, 7 * _SHORT_INTEGER_OCTETS, 7):
        octet = block[position]
        position += 1
        value += (octet & 0x7F) << shift
        if octet < 0x80:
            return value, position
    raise HpackError("a number is longer than any that makes sense")


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    coded = block[position] & 0x80
    length, position = _integer(block, position, 7)
    end = position + length
    if end > len(block):
        raise HpackError("a string is longer than its block")
    data = block[position:end]
    return huffman_decode(data) if coded else data, end


def literal(name: bytes, value: bytes) -> bytes:
    """A header as it can stand in any block: not looked up, not kept in any table."""
    return b"\x00" + _length(name) + name + _length(value) + value


def _length(text: bytes) -> bytes:
    length = len(text)
    if length < 0x7F:
        return bytes((length,))
    octets = bytearray((0x7F,))
    length -= 0x7F
    while length >= 0x80:
        octets.append(length & 0x7F | 0x80)
        length >>= 7
    octets.append(length)
    return bytes(octets)
