"""The options of a call: its query parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, get_args

from bentos.core.errors import FieldError, InvalidInput

__all__ = [
    "DEFAULT_OPTIONS",
    "Explain",
    "PredictOptions",
    "chosen_options",
    "no_options",
    "predict_options",
    "read_options",
]

Explain: TypeAlias = Literal["none", "flagged", "all"]
_EXPLAIN: Final[dict[str, Explain]] = {value: value for value in get_args(Explain)}
_FLAG: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """Options of a prediction.

    Parameters
    ----------
    explain
        Which answers get reasons: none, those that are not approved, or all.
    record
        Whether the transaction becomes part of the history that later features are made from, and counts as a
        prediction in metrics, drift and rollouts.
    """

    explain: Explain = "flagged"
    record: bool = True


DEFAULT_OPTIONS: Final = PredictOptions()


@lru_cache(maxsize=256)
def predict_options(parameters: tuple[tuple[str, str], ...]) -> PredictOptions:
    """Read the options of /predict. Callers send the same few over and over.

    Raises
    ------
    InvalidInput
        For an unknown parameter (a misspelt one would silently be lost), a repeated one, or another value.
    """
    errors: list[FieldError] = []
    explain: Explain = DEFAULT_OPTIONS.explain
    record = DEFAULT_OPTIONS.record
    for name, value in _once(parameters, ("explain", "record"), errors):
        if name == "explain":
            explain = _EXPLAIN.get(value, explain)
            _check(name, value, _EXPLAIN, errors)
        else:
            record = _FLAG.get(value, record)
            _check(name, value, _FLAG, errors)
    if errors:
        raise InvalidInput(errors)
    return PredictOptions(explain, record)


def chosen_options(parameters: Iterable[tuple[str, str]], allowed: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Read options of which each has a few values.

    Raises
    ------
    InvalidInput
        For an unknown parameter, a repeated one, or another value.
    """
    errors: list[FieldError] = []
    chosen = {}
    for name, value in _once(parameters, tuple(allowed), errors):
        _check(name, value, allowed[name], errors)
        chosen[name] = value
    if errors:
        raise InvalidInput(errors)
    return chosen


def read_options(
    parameters: Iterable[tuple[str, str]], readers: Mapping[str, Callable[[str], object]]
) -> dict[str, Any]:
    """Read options by what reads each.

    Parameters
    ----------
    parameters
        Of the query.
    readers
        From text to value; raise ValueError, whose text tells what is allowed.

    Raises
    ------
    InvalidInput
        For an unknown parameter, a repeated one, or one that cannot be read.
    """
    errors: list[FieldError] = []
    values = {}
    for name, value in _once(parameters, tuple(readers), errors):
        try:
            values[name] = readers[name](value)
        except ValueError as error:
            errors.append(FieldError(name, f"{error}, got {_printable(value)!r}"))
    if errors:
        raise InvalidInput(errors)
    return values


def no_options(parameters: Iterable[tuple[str, str]]) -> None:
    """Refuse every parameter, of a call that has none.

    Raises
    ------
    InvalidInput
        When there is one.
    """
    errors: list[FieldError] = []
    for _ in _once(parameters, (), errors):
        pass
    if errors:
        raise InvalidInput(errors)


def _once(
    parameters: Iterable[tuple[str, str]], known: tuple[str, ...], errors: list[FieldError]
) -> Iterable[tuple[str, str]]:
    seen: set[str] = set()
    for name, value in parameters:
        if name not in known:
            allowed = " and ".join(known) if known else "none"
            errors.append(FieldError(_printable(name), f"unknown query parameter, this call knows {allowed}"))
        elif name in seen:
            errors.append(FieldError(name, "given more than once"))
        else:
            seen.add(name)
            yield name, value


def _check(name: str, value: str, allowed: Iterable[str], errors: list[FieldError]) -> None:
    if value not in allowed:
        errors.append(FieldError(name, f"must be one of {', '.join(allowed)}, got {_printable(value)!r}"))


def _printable(text: str) -> str:
    # Whatever came in the address goes back in an error: keep it short and harmless.
    shortened = text if len(text) <= 40 else text[:40] + "…"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shortened)
