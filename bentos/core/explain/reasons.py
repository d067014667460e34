"""The largest contributions, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import FieldError, InvalidInput
from bentos.core.features import FEATURES

__all__ = ["Reason", "top_reasons"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One feature's part in a score.

    Attributes
    ----------
    feature
        Its name.
    value
        Its value in the row, in the feature's unit.
    contribution
        What it adds to the raw score; positive speaks for fraud.
    text
        The value in a sentence.
    """

    feature: str
    value: float
    contribution: float
    text: str


def top_reasons(row: NDArray[Any], contributions: NDArray[np.float64], k: int = 3) -> list[Reason]:
    """The ``k`` features of largest effect, either sign, largest first; equal ones in the order of the features.

    Parameters
    ----------
    row, contributions
        [features] each: the row as it was scored and what an explainer gave for it.

    Raises
    ------
    InvalidInput
        Another number of values than there are features, or a negative ``k``.
    """
    expected = (len(FEATURES),)
    for name, array in (("row", row), ("contributions", contributions)):
        if array.shape != expected:
            raise InvalidInput([FieldError(name, f"has the shape {list(array.shape)}, needed is {list(expected)}")])
    if k < 0:
        raise InvalidInput([FieldError("k", f"is {k}, must be 0 or more")])
    order = np.argsort(-np.abs(contributions), kind="stable")[:k]
    return [
        Reason(FEATURES[i].name, float(row[i]), float(contributions[i]), FEATURES[i].reason_text(float(row[i])))
        for i in order.tolist()
    ]
