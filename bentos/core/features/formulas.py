"""Formulas of one row, compiled from the definitions of the features.

A definition is a Python function over values. Called with symbols instead of numbers it writes down what it does; the
lines of all definitions make one function without calls, which takes a quarter of the time. Definitions must therefore
be free of branches on values, which columns do not allow either: see :mod:`.values`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

__all__ = ["Formulas", "Symbol"]


class Symbol:
    """A value that is not known yet.

    Parameters
    ----------
    formulas
        Where operations on it are written down.
    name
        Its name there.
    """

    __slots__ = ("_formulas", "name")

    def __init__(self, formulas: Formulas, name: str) -> None:
        self._formulas = formulas
        self.name = name

    def _write(self, expression: str) -> Symbol:
        return self._formulas.symbol(expression)

    def __add__(self, other: object) -> Symbol:
        return self._write(f"{self.name} + {_name(other)}")

    def __radd__(self, other: object) -> Symbol:
        return self._write(f"{_name(other)} + {self.name}")

    def __sub__(self, other: object) -> Symbol:
        return self._write(f"{self.name} - {_name(other)}")

    def __rsub__(self, other: object) -> Symbol:
        return self._write(f"{_name(other)} - {self.name}")

    def __mul__(self, other: object) -> Symbol:
        return self._write(f"{self.name} * {_name(other)}")

    def __rmul__(self, other: object) -> Symbol:
        return self._write(f"{_name(other)} * {self.name}")

    def __truediv__(self, other: object) -> Symbol:
        return self._write(f"{self.name} / {_name(other)}")

    def __pow__(self, other: object) -> Symbol:
        return self._write(f"{self.name} ** {_name(other)}")

    def __and__(self, other: object) -> Symbol:
        return self._write(f"{self.name} & {_name(other)}")

    def __ge__(self, other: object) -> Symbol:
        return self._write(f"{self.name} >= {_name(other)}")

    def __le__(self, other: object) -> Symbol:
        return self._write(f"{self.name} <= {_name(other)}")

    def __eq__(self, other: object) -> Any:
        return self._write(f"{self.name} == {_name(other)}")

    __hash__ = None  # type: ignore[assignment] # equality is another symbol

    def __bool__(self) -> bool:
        raise TypeError("a definition branches on a value; use the functions of bentos.core.features.values")

    def at_least(self, least: float) -> Symbol:
        """The value, or ``least`` when that is larger."""
        return self._write(f"{least!r} if {self.name} < {least!r} else {self.name}")

    def at_most(self, most: float) -> Symbol:
        """The value, or ``most`` when that is smaller."""
        return self._write(f"{most!r} if {self.name} > {most!r} else {self.name}")

    def when(self, condition: object, otherwise: float) -> Symbol:
        """The value, or another when a condition does not hold."""
        return self._write(f"{self.name} if {_name(condition)} else {otherwise!r}")

    def function(self, name: str) -> Symbol:
        """A function of :mod:`math` of the value."""
        return self._write(f"{name}({self.name})")


class Formulas:
    """Collects what is done with symbols, each expression once.

    Parameters
    ----------
    inputs
        Names of the function's parameters.
    """

    _FUNCTIONS: Final = {name: getattr(math, name) for name in ("sqrt", "sin", "cos", "asin")}

    def __init__(self, *inputs: str) -> None:
        self._inputs = inputs
        self._names: dict[str, str] = {}

    def symbol(self, expression: str) -> Symbol:
        """The symbol of an expression over the inputs and earlier symbols."""
        return Symbol(self, self._names.setdefault(expression, f"t{len(self._names)}"))

    def compiled(self, results: Sequence[Symbol]) -> Callable[..., list[float]]:
        """A function of the inputs that gives the results."""
        lines = [f"    {name} = {expression}" for expression, name in self._names.items()]
        returned = ", ".join(result.name for result in results)
        source = "\n".join([f"def formulas({', '.join(self._inputs)}):", *lines, f"    return [{returned}]"])
        space: dict[str, Any] = dict(self._FUNCTIONS)
        exec(compile(source, "<definitions of the features>", "exec"), space)  # noqa: S102 - written above, of our own
        function: Callable[..., list[float]] = space["formulas"]
        return function


def _name(value: object) -> str:
    return value.name if isinstance(value, Symbol) else repr(value)
