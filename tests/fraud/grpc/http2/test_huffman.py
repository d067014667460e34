from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bentos.fraud.grpc.http2 import huffman

CODES = {symbol: code for code, symbol in huffman._codes().items()}


def _encode(text: bytes) -> bytes:
    bits = "".join(format(CODES[byte][1], f"0{CODES[byte][0]}b") for byte in text)
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big") if bits else b""


@given(st.binary(max_size=300))
def test_every_string_comes_back(text: bytes) -> None:
    assert huffman.huffman_decode(_encode(text)) == text


def test_codes_of_the_rfc() -> None:
    # Appendix B: the first, the shortest, the one of "Z", the last byte's, the end's.
    expected = {0: (13, 0x1FF8), 48: (5, 0x0), 90: (8, 0xFD), 255: (26, 0x3FFFFEE), 256: (30, 0x3FFFFFFF)}
    assert {symbol: CODES[symbol] for symbol in expected} == expected
    assert len(CODES) == 257
