"""Formulas over columns, compiled from the definitions of the features.

A definition is a Python function over values. Called with symbols instead of numbers it writes down what it does; the
steps of all definitions make one program, each step once, that ``_formulas.c`` runs over any number of rows without
Python. Definitions must therefore be free of branches on values, which columns do not allow either: see :mod:`.values`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from bentos.core.features import _formulas

__all__ = ["Formulas", "Symbol"]

#: Operation, up to three earlier steps (or a place in the input), value of a constant.
_STEP: Final = struct.Struct("=4id")
_RESULT: Final = struct.Struct("=i")
_FUNCTIONS: Final = {"sqrt": _formulas.SQRT, "sin": _formulas.SIN, "cos": _formulas.COS, "asin": _formulas.ASIN}


class Symbol:
    """A value that is not known yet.

    Parameters
    ----------
    formulas
        Where operations on it are written down.
    step
        The one whose result it is.
    """

    __slots__ = ("_formulas", "step")

    def __init__(self, formulas: Formulas, step: int) -> None:
        self._formulas = formulas
        self.step = step

    def _write(self, operation: int, *operands: object) -> Symbol:
        return self._formulas.write(operation, *operands)

    def __add__(self, other: object) -> Symbol:
        return self._write(_formulas.ADD, self, other)

    def __radd__(self, other: object) -> Symbol:
        return self._write(_formulas.ADD, other, self)

    def __sub__(self, other: object) -> Symbol:
        return self._write(_formulas.SUBTRACT, self, other)

    def __rsub__(self, other: object) -> Symbol:
        return self._write(_formulas.SUBTRACT, other, self)

    def __mul__(self, other: object) -> Symbol:
        return self._write(_formulas.MULTIPLY, self, other)

    def __rmul__(self, other: object) -> Symbol:
        return self._write(_formulas.MULTIPLY, other, self)

    def __truediv__(self, other: object) -> Symbol:
        return self._write(_formulas.DIVIDE, self, other)

    def __pow__(self, other: object) -> Symbol:
        if other != 2:
            raise TypeError(f"a definition raises a value to the power of {other}; only squares are known")
        return self._write(_formulas.SQUARE, self)

    def __and__(self, other: object) -> Symbol:
        return self._write(_formulas.BOTH, self, other)

    def __ge__(self, other: object) -> Symbol:
        return self._write(_formulas.AT_LEAST_AS, self, other)

    def __le__(self, other: object) -> Symbol:
        return self._write(_formulas.AT_MOST_AS, self, other)

    def __eq__(self, other: object) -> Any:
        return self._write(_formulas.SAME, self, other)

    __hash__ = None  # type: ignore[assignment] # equality is another symbol

    def __bool__(self) -> bool:
        raise TypeError("a definition branches on a value; use the functions of bentos.core.features.values")

    def at_least(self, least: float) -> Symbol:
        """The value, or ``least`` when that is larger."""
        return self._write(_formulas.NOT_BELOW, self, least)

    def at_most(self, most: float) -> Symbol:
        """The value, or ``most`` when that is smaller."""
        return self._write(_formulas.NOT_ABOVE, self, most)

    def when(self, condition: object, otherwise: float) -> Symbol:
        """The value, or another when a condition does not hold."""
        return self._write(_formulas.WHEN, condition, self, otherwise)

    def function(self, name: str) -> Symbol:
        """``sqrt``, ``sin``, ``cos`` or ``asin`` of the value, as the C library has them."""
        return self._write(_FUNCTIONS[name], self)


class Formulas:
    """Collects what is done with symbols, each step once."""

    def __init__(self) -> None:
        self._steps: dict[bytes, int] = {}

    def column(self, place: int) -> Symbol:
        """The value in a column of the input."""
        return self._step(_formulas.COLUMN, place)

    def fact(self, place: int) -> Symbol:
        """The value of a fact of each row."""
        return self._step(_formulas.FACT, place)

    def write(self, operation: int, *operands: object) -> Symbol:
        """The symbol of an operation on symbols and numbers."""
        return self._step(operation, *(self._operand(operand) for operand in operands))

    def _operand(self, operand: object) -> int:
        if isinstance(operand, Symbol):
            return operand.step
        if not isinstance(operand, int | float):
            raise TypeError(f"a definition computes with {operand!r}; known are values and numbers")
        return self._step(_formulas.CONSTANT, value=float(operand)).step

    def _step(self, operation: int, *operands: int, value: float = 0.0) -> Symbol:
        packed = _STEP.pack(operation, *operands, *[0] * (3 - len(operands)), value)
        return Symbol(self, self._steps.setdefault(packed, len(self._steps)))

    def compiled(self, results: Sequence[Symbol]) -> Callable[[Any, Any, Any], None]:
        """What computes the results.

        Returns
        -------
        Callable
            Of columns, float64 [c, n] with c above the highest one named; facts, the bytes of float64 [n, f] with f
            above the highest one named; and float64 [n, results], which it fills. Arrays are C-contiguous. Raises
            TypeError or ValueError when they do not fit.
        """
        return _formulas.Program(b"".join(self._steps), b"".join(_RESULT.pack(result.step) for result in results)).run
