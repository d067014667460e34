"""Keys and numbers that name nobody."""

from __future__ import annotations

import numpy as np
import pytest

from bentos.core.features.pseudonyms import Pseudonyms


@pytest.mark.parametrize("secret", ["", "secret"])
def test_many_identities_are_those_of_each(secret: str) -> None:
    names = Pseudonyms(secret)
    given = ["", "a", "é", "x" * 200, "a"]
    found = names.identities(name.encode() for name in given)
    assert found.tolist() == [names.identity(name) for name in given]
    assert found.dtype == np.uint64
    assert len(names.identities([])) == 0
