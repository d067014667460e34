"""Huffman's code of HTTP/2 headers (RFC 7541, appendix B)."""

from __future__ import annotations

from typing import Final

__all__ = ["HuffmanError", "huffman_decode"]

#: Bits of the code of each byte, then of the end of a string. The code is canonical, so that lengths say everything.
# fmt: off
_LENGTHS: Final = (
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
)
# fmt: on
_END: Final = 256
#: More bits than this are no padding.
_LONGEST_PADDING: Final = 7


class HuffmanError(ValueError):
    """Bytes that no string has as its code."""


def _codes() -> dict[tuple[int, int], int]:
    """Symbols by the length and the value of their codes."""
    codes: dict[tuple[int, int], int] = {}
    code, previous = 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(_LENGTHS)):
        code <<= length - previous
        codes[length, code] = symbol
        code, previous = code + 1, length
    return codes


_SYMBOLS: Final = _codes()
#: What a byte does after the bits that an earlier one left over: symbols, and the bits that it leaves over. Learnt as
#: bytes come; there are at most 256 for each of the 255 prefixes of codes.
_STEPS: Final[dict[tuple[int, int, int], tuple[bytes, int, int]]] = {}


def huffman_decode(data: bytes) -> bytes:
    """The string of a code.

    Raises
    ------
    HuffmanError
        The code holds the end of a string, or ends in anything but up to seven ones.
    """
    parts = []
    length = value = 0
    for byte in data:
        key = (length, value, byte)
        step = _STEPS.get(key)
        if step is None:
            step = _STEPS[key] = _step(length, value, byte)
        part, length, value = step
        parts.append(part)
    if length > _LONGEST_PADDING or value != (1 << length) - 1:
        raise HuffmanError("the padding is no prefix of the end of a string")
    return b"".join(parts)


def _step(length: int, value: int, byte: int) -> tuple[bytes, int, int]:
    symbols = bytearray()
    for shift in range(7, -1, -1):
        length, value = length + 1, value << 1 | byte >> shift & 1
        symbol = _SYMBOLS.get((length, value))
        if symbol == _END:
            raise HuffmanError("the end of a string stands inside it")
        if symbol is not None:
            symbols.append(symbol)
            length = value = 0
    return bytes(symbols), length, value
