"""Keys and numbers that name nobody."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bentos.core.features import _blake2b
from bentos.core.features.pseudonyms import Pseudonyms


def _numbers(names: Pseudonyms, texts: list[str]) -> list[int]:
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    found = names.identities(b"".join(encoded), offsets)
    assert found.dtype == np.uint64
    return [int(number) for number in found]


# Around the 128 bytes that are hashed at a time.
@pytest.mark.parametrize("secret", ["", "secret", "x" * 100])
@given(texts=st.lists(st.text(max_size=300), max_size=20))
@example(texts=["", "a" * 127, "a" * 128, "a" * 129, "a" * 255, "a" * 256, "a" * 257])
def test_many_identities_are_those_of_each(secret: str, texts: list[str]) -> None:
    names = Pseudonyms(secret)
    assert _numbers(names, texts) == [names.identity(text) for text in texts]


@pytest.mark.parametrize("offsets", [[0, 3, 2], [0, 5], [-1, 3], [0, 2, 9]])
def test_offsets_that_lie_outside_of_the_text_are_refused(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="offsets must be"):
        Pseudonyms("").identities(b"abcd", np.array(offsets, np.int32))


def test_what_hashes_many_says_what_it_takes() -> None:
    offsets, out = np.array([0, 1], np.int32), np.empty(1, np.uint64)
    with pytest.raises(ValueError, match="a key has at most 64 bytes"):
        _blake2b.hash_many(bytes(65), bytes(16), b"a", offsets, out)
    with pytest.raises(ValueError, match="offsets must be"):
        _blake2b.hash_many(b"", bytes(16), b"a", offsets, np.empty(2, np.uint64))
    with pytest.raises(ValueError, match="offsets must be"):
        _blake2b.hash_many(b"", bytes(16), b"", np.empty(0, np.int32), np.empty(0, np.uint64))
