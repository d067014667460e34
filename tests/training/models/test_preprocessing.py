"""The scaler: its formula, column by column."""

from __future__ import annotations

import numpy as np
import pytest

from bentos.core.errors import DataError
from bentos.core.features import FEATURE_NAMES
from tests.training.models.data import small
from training.models.preprocessing import LOG_FEATURES, ElementwiseScaler


def test_formula() -> None:
    rows, _ = small(500)
    scaler = ElementwiseScaler(clip=2.0).fit(rows)
    for place, name in enumerate(FEATURE_NAMES):
        column = rows[:, place].astype(np.float64)
        if name in LOG_FEATURES:
            column = np.sign(column) * np.log1p(np.abs(column))
        deviation = column.std() if column.std() > 0 else 1.0
        expected = np.clip((column - column.mean()) / deviation, -2, 2)
        np.testing.assert_allclose(scaler.exact(rows)[:, place], expected, atol=1e-12)
    np.testing.assert_array_equal(scaler.transform(rows), scaler.exact(rows).astype(np.float32))
    assert scaler.log_.sum() == len(LOG_FEATURES) == 13


def test_a_column_depends_on_itself_alone() -> None:
    rows, _ = small(200)
    scaler = ElementwiseScaler().fit(rows)
    other = rows.copy()
    other[:, 0] += 7
    changed = (scaler.exact(other) != scaler.exact(rows)).any(axis=0)
    assert changed[0]
    assert not changed[1:].any()


def test_a_constant_column_and_values_far_outside() -> None:
    rows, _ = small(200)
    rows[:, 1] = 5
    scaler = ElementwiseScaler(clip=4.0).fit(rows)
    assert scaler.scale_[1] == 1
    extreme = np.full((1, 21), 1e30, dtype=np.float32)
    np.testing.assert_array_equal(scaler.exact(extreme), np.full((1, 21), 4.0))


@pytest.mark.parametrize("shape", [(5, 20), (0, 21), (21,)])
def test_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="needed is"):
        ElementwiseScaler().fit(np.zeros(shape))
