"""The largest contributions, with names, values and words."""

from __future__ import annotations

import numpy as np
import pytest

from bentos.core.errors import InvalidInput
from bentos.core.explain import Reason, top_reasons
from bentos.core.features import FEATURE_NAMES, FEATURES


def test_the_largest_effects_of_either_sign_come_first() -> None:
    row = np.arange(21.0)
    contributions = np.zeros(21)
    contributions[[6, 0, 20]] = [-0.5, 0.3, 0.4]
    reasons = top_reasons(row, contributions)
    assert [reason.feature for reason in reasons] == ["amount_deviation", "distance_km", "amount"]
    assert reasons[0] == Reason("amount_deviation", 6.0, -0.5, FEATURES[6].reason_text(6.0))
    assert all(type(value) is float for reason in reasons for value in (reason.value, reason.contribution))


def test_equal_effects_keep_the_order_of_the_features() -> None:
    assert [reason.feature for reason in top_reasons(np.zeros(21), np.ones(21), k=21)] == list(FEATURE_NAMES)


@pytest.mark.parametrize(("k", "expected"), [(0, 0), (1, 1), (100, 21)])
def test_there_are_as_many_as_asked_for(k: int, expected: int) -> None:
    assert len(top_reasons(np.zeros(21, np.float32), np.ones(21), k)) == expected


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="row: has the shape"):
        top_reasons(np.zeros(20), np.ones(21))
    with pytest.raises(InvalidInput, match="contributions: has the shape"):
        top_reasons(np.zeros(21), np.ones((1, 21)))
    with pytest.raises(InvalidInput, match="k: is -1"):
        top_reasons(np.zeros(21), np.ones(21), -1)
