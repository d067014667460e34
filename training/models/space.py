"""How a search space is written down: ranges of configuration values, as data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Choice", "Dimension", "Real", "Space", "Value", "Whole"]

Value = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Real:
    """A float from ``low`` to ``high``, both included; ``log`` searches orders of magnitude."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer from ``low`` to ``high``, both included."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values."""

    options: tuple[Value, ...]


Dimension = Real | Whole | Choice

#: Dotted path in a :class:`~training.models.config.ModelConfig` to its range, such as ``parameters.max_depth``.
Space = dict[str, Dimension]
