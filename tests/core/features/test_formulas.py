from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.core.features.formulas import Formulas, Symbol
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


@given(NUMBERS, NUMBERS)
def test_a_formula_gives_what_a_column_gives(a: float, b: float) -> None:
    formulas = Formulas("a", "b")
    one_row = formulas.compiled(_everything(Symbol(formulas, "a"), Symbol(formulas, "b")))
    column = [values[0] for values in _everything(np.array([a]), np.array([b]))]
    assert one_row(a, b) == pytest.approx(column, rel=1e-15, abs=1e-300)


def test_nan_stays_nan() -> None:
    formulas = Formulas("a")
    symbol = Symbol(formulas, "a")
    results = formulas.compiled([maximum(symbol, 0.0), minimum(symbol, 0.0), where(symbol == symbol, symbol, -1.0)])  # noqa: PLR0124
    least, most, told = results(float("nan"))
    assert np.isnan([least, most]).all()
    assert told == -1.0


def test_an_expression_is_computed_once() -> None:
    formulas = Formulas("a")
    symbol = Symbol(formulas, "a")
    assert (symbol + 1.0).name == (symbol + 1.0).name != (symbol + 2.0).name


def test_a_definition_that_branches_is_refused() -> None:
    symbol = Symbol(Formulas("a"), "a")
    with pytest.raises(TypeError, match="branches"):
        bool(symbol >= 1.0)
