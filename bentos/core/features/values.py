"""Arithmetic that reads alike for a column of rows and for a formula that is written down.

The service mostly asks for few rows, and numpy takes a hundred times as long for an array of one value as a compiled
formula. So the definitions are written once, over ``Values``, and these functions hide whether they compute a column or
write down a formula.
"""

from __future__ import annotations

from operator import methodcaller
from typing import Any, TypeVar

import numpy as np

from bentos.core.features.formulas import Symbol
from bentos.core.features.windows import FloatArray

__all__ = ["Values", "maximum", "minimum", "square_root", "trigonometry", "where"]

#: float64 [n] for n rows, or the symbol of a row's value.
Values = TypeVar("Values", Symbol, FloatArray)


def maximum(values: Values, least: float) -> Values:
    """Each value, or ``least`` where that is larger. NaN stays."""
    return values.at_least(least) if isinstance(values, Symbol) else np.maximum(values, least)


def minimum(values: Values, most: float) -> Values:
    """Each value, or ``most`` where that is smaller. NaN stays."""
    return values.at_most(most) if isinstance(values, Symbol) else np.minimum(values, most)


def square_root(values: Values) -> Values:
    """Square root, correctly rounded."""
    return values.function("sqrt") if isinstance(values, Symbol) else np.sqrt(values)


def where(condition: Any, values: Values, otherwise: float) -> Values:
    """Values where the condition, bool [n] or its symbol, holds."""
    return values.when(condition, otherwise) if isinstance(values, Symbol) else np.where(condition, values, otherwise)


def trigonometry(values: Values) -> Any:
    """What has ``sin``, ``cos`` and ``asin`` for such values."""
    return _SymbolicTrigonometry if isinstance(values, Symbol) else np


class _SymbolicTrigonometry:
    sin, cos, asin = (staticmethod(methodcaller("function", name)) for name in ("sin", "cos", "asin"))
