"""What explainers have in common, and how one is made from an artifact's arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import ArtifactIncompatible
from bentos.core.explain.network import NetworkExplainer
from bentos.core.explain.tree import TreeExplainer
from bentos.core.features import FEATURE_NAMES

__all__ = ["Explainer", "load_explainer"]


class Explainer(Protocol):
    """Splits a raw score into contributions of the features. Safe to share between threads."""

    base_value: float

    def contributions(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """[n, features] for rows [n, features]; ``base_value`` plus a row's sum is its raw score."""
        ...


def load_explainer(kind: str, arrays: Mapping[str, NDArray[Any]], *, threads: int = 1) -> Explainer:
    """Make the explainer of a model.

    Parameters
    ----------
    kind
        The artifact's kind: "forest" or "network".
    arrays
        The arrays of ``explainer.npz``.
    threads
        Threads of one call with many rows; the results do not depend on it.

    Raises
    ------
    ArtifactIncompatible
        A kind that this version cannot explain.
    ArtifactCorrupt
        The arrays do not describe such a model.
    """
    if kind == "forest":
        return TreeExplainer(arrays, len(FEATURE_NAMES), threads=threads)
    if kind == "network":
        return NetworkExplainer(arrays, len(FEATURE_NAMES), threads=threads)
    raise ArtifactIncompatible(f"no explainer for models of kind {kind!r}, there are forest and network")
