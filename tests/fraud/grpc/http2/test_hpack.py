"""Examples of RFC 7541, appendix C, and its limits."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.fraud.grpc.http2.hpack import Decoder, HpackError, literal

FIRST = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":path", b"/"),
    (b":authority", b"www.example.com"),
]
SECOND = [*FIRST, (b"cache-control", b"no-cache")]
THIRD = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":path", b"/index.html"),
    (b":authority", b"www.example.com"),
    (b"custom-key", b"custom-value"),
]


def _decoder() -> Decoder:
    return Decoder(16_384)


@pytest.mark.parametrize(
    "blocks",
    [
        (
            "828684410f7777772e6578616d706c652e636f6d",
            "828684be58086e6f2d6361636865",
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        ),
        (
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            "828684be5886a8eb10649cbf",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        ),
    ],
    ids=["C.3", "C.4"],
)
def test_requests_of_the_rfc(blocks: tuple[str, str, str]) -> None:
    decoder = _decoder()
    assert [decoder.decode(bytes.fromhex(block)) for block in blocks] == [FIRST, SECOND, THIRD]


def test_responses_of_the_rfc_evict_entries() -> None:
    # C.6, whose table has 256 octets: a size update comes first.
    decoder = _decoder()
    blocks = (
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3"
        "672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    )
    first, second, third = (
        dict(decoder.decode(prefix + bytes.fromhex(block)) or [])
        for prefix, block in zip((b"\x3f\xe1\x01", b"", b""), blocks, strict=True)
    )
    assert first[b":status"] == b"302"
    assert first[b"location"] == second[b"location"] == third[b"location"] == b"https://www.example.com"
    assert second[b":status"] == b"307"
    assert third[b"date"] == b"Mon, 21 Oct 2013 20:13:22 GMT"
    assert third[b"set-cookie"] == b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # header 0
        b"\xbe",  # of an empty table
        b"\xff\x80\x80\x80\x80\x80\x80\x01",  # an endless number
        b"\x3f\xe2\x1f",  # a table of more than 4,096 octets
        b"\x82\x20",  # a size update after a header
        b"\x00\x05abc",  # a name that is cut off
        b"\x40\x01a",  # no value
        b"\x00\x81\xff\x00",  # padding of 8 bits
        b"\x00\x81\x00\x00",  # padding of zeros
        b"\x00\x84\xff\xff\xff\xff\x00",  # the end of a string inside it
        b"\x41",
        b"\x7f",
    ],
)
def test_broken_blocks_are_refused(block: bytes) -> None:
    with pytest.raises(HpackError):
        _decoder().decode(block)


@given(st.binary(max_size=200))
def test_any_octets_are_headers_or_refused(block: bytes) -> None:
    with contextlib.suppress(HpackError):
        _decoder().decode(block)


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300)), max_size=8))
def test_what_is_written_is_read(headers: list[tuple[bytes, bytes]]) -> None:
    block = b"".join(literal(name, value) for name, value in headers)
    decoder = _decoder()
    assert decoder.decode(block) == headers
    assert decoder.version == 0


def test_a_short_block_may_mean_too_much() -> None:
    decoder = _decoder()
    bomb = b"\x40" + literal(b"name", b"x" * 4000)[1:] + b"\xbe" * 100
    assert decoder.decode(bomb) is None
    assert decoder.decode(b"\xbe") == [(b"name", b"x" * 4000)]


def test_an_entry_that_is_too_large_empties_the_table() -> None:
    decoder = _decoder()
    assert decoder.decode(b"\x40" + literal(b"a", b"b")[1:]) == [(b"a", b"b")]
    decoder.decode(b"\x40" + literal(b"large", b"x" * 4096)[1:])
    with pytest.raises(HpackError):
        decoder.decode(b"\xbe")


def test_the_version_changes_with_the_table() -> None:
    decoder = _decoder()
    decoder.decode(b"\x82\x86")
    assert decoder.version == 0
    decoder.decode(b"\x40" + literal(b"a", b"b")[1:])
    assert decoder.version == 1
    decoder.decode(b"\x20")
    assert decoder.version == 2
