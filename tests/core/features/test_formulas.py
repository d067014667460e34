from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bentos.core.features import _formulas
from bentos.core.features.formulas import Formulas
from bentos.core.features.values import maximum, minimum, square_root, trigonometry, where

NUMBERS = st.floats(-1e6, 1e6)


def _everything(a: Any, b: Any) -> list[Any]:
    of = trigonometry(a)
    return [
        a,
        2.0 + a + 1.0 - b,
        3.0 - a * b,
        2.0 * a,
        a / maximum(b, 0.5),
        minimum(a, 10.0),
        square_root(maximum(a, 0.0)),
        of.sin(a) ** 2 + of.cos(b),
        of.asin(minimum(maximum(a, -1.0), 1.0)),
        where((a >= 1.0) & (b <= 2.0), a, -1.0),
        where(a == a, b, 0.0),  # noqa: PLR0124
        (a >= b) * 1.0,
    ]


def _computed(a: Any, b: Any, definition: Callable[[Any, Any], list[Any]]) -> NDArray[np.float64]:
    """One input as a column, the other as a fact."""
    formulas = Formulas()
    results = definition(formulas.column(1), formulas.fact(2))
    out = np.empty((len(a), len(results)))
    columns = np.stack([np.full(len(a), np.nan), a])
    facts = np.column_stack([np.full((len(b), 2), np.nan), b])
    formulas.compiled(results)(columns, facts.tobytes(), out)
    return out


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=100))
def test_a_program_gives_what_columns_give(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    np.testing.assert_allclose(
        _computed(a, b, _everything), np.column_stack(_everything(a, b)), rtol=1e-15, atol=1e-300
    )


@pytest.mark.parametrize("rows", [0, 1, 31, 32, 33, 255, 256, 1000])
def test_rows_do_not_depend_on_their_company(rows: int) -> None:
    a, b = np.random.default_rng(0).normal(0, 100, (2, rows))
    alone = [_computed(a[row : row + 1], b[row : row + 1], _everything)[0] for row in range(rows)]
    np.testing.assert_array_equal(_computed(a, b, _everything), np.reshape(alone, (rows, 12)))


def test_nan_stays_nan() -> None:
    nan = np.array([np.nan])
    (row,) = _computed(nan, nan, lambda a, _: [maximum(a, 0.0), minimum(a, 0.0), where(a == a, a, -1.0)])  # noqa: PLR0124
    assert np.isnan(row[:2]).all()
    assert row[2] == -1.0


def test_a_step_is_written_once() -> None:
    symbol = Formulas().column(0)
    assert (symbol + 1.0).step == (symbol + 1.0).step != (symbol + 2.0).step
    assert (symbol * 0.0).step != (symbol * -0.0).step


def test_a_definition_that_branches_is_refused() -> None:
    symbol = Formulas().column(0)
    with pytest.raises(TypeError, match="branches"):
        bool(symbol >= 1.0)


def test_what_no_program_can_do_is_refused() -> None:
    symbol = Formulas().column(0)
    with pytest.raises(TypeError, match="only squares"):
        symbol**3
    with pytest.raises(TypeError, match="known are values and numbers"):
        symbol + "1"


@pytest.mark.parametrize(
    ("columns", "facts", "out", "error"),
    [
        (np.zeros((2, 5)), bytes(8 * 3 * 5), np.zeros((5, 12)), None),
        (np.zeros((3, 5)), bytes(8 * 4 * 5), np.zeros((5, 12)), None),
        (np.zeros((1, 5)), bytes(8 * 3 * 5), np.zeros((5, 12)), ValueError),
        (np.zeros((2, 4)), bytes(8 * 3 * 5), np.zeros((5, 12)), ValueError),
        (np.zeros((2, 5)), bytes(8 * 2 * 5), np.zeros((5, 12)), ValueError),
        (np.zeros((2, 5)), bytes(8 * 3 * 5 - 1), np.zeros((5, 12)), ValueError),
        (np.zeros((2, 5)), bytes(8 * 3 * 5), np.zeros((5, 11)), ValueError),
        (np.zeros((2, 5)), bytes(8 * 3 * 5), np.zeros((5, 24))[:, ::2], ValueError),
        (np.zeros((2, 5), np.float32), bytes(8 * 3 * 5), np.zeros((5, 12)), TypeError),
        (np.zeros((2, 5), np.int64), bytes(8 * 3 * 5), np.zeros((5, 12)), TypeError),
        (np.zeros(10), bytes(8 * 3 * 5), np.zeros((5, 12)), TypeError),
    ],
)
def test_what_does_not_fit_is_refused(columns: Any, facts: bytes, out: Any, error: type[Exception] | None) -> None:
    formulas = Formulas()
    run = formulas.compiled(_everything(formulas.column(1), formulas.fact(2)))
    with nullcontext() if error is None else pytest.raises((error, BufferError)):
        run(columns, facts, out)


@pytest.mark.parametrize(
    ("steps", "results"),
    [
        ([(_formulas.COLUMN, 0, 0, 0, 0.0), (_formulas.ADD, 0, 1, 0, 0.0)], [1]),
        ([(_formulas.COLUMN, -1, 0, 0, 0.0)], [0]),
        ([(_formulas.COLUMN, 0, 0, 0, 0.0), (_formulas.SQRT, 1, 0, 0, 0.0)], [1]),
        ([(_formulas.COLUMN, 0, 0, 0, 0.0), (_formulas.WHEN, 0, 0, 2, 0.0)], [1]),
        ([(_formulas.ASIN + 1, 0, 0, 0, 0.0)], [0]),
        ([(-1, 0, 0, 0, 0.0)], [0]),
        ([(_formulas.CONSTANT, 0, 0, 0, 1.0)], [1]),
        ([(_formulas.CONSTANT, 0, 0, 0, 1.0)], [-1]),
        ([(_formulas.CONSTANT, 0, 0, 0, 1.0)] * 1025, [0]),
    ],
)
def test_a_program_that_leads_outside_is_refused(
    steps: list[tuple[int, int, int, int, float]], results: list[int]
) -> None:
    packed = b"".join(struct.pack("=4id", *step) for step in steps)
    with pytest.raises(ValueError, match="no program"):
        _formulas.Program(packed, struct.pack(f"={len(results)}i", *results))


@pytest.mark.parametrize(("steps", "results"), [(bytes(23), b""), (bytes(24), bytes(3))])
def test_a_torn_program_is_refused(steps: bytes, results: bytes) -> None:
    with pytest.raises(ValueError, match="no program"):
        _formulas.Program(steps, results)
