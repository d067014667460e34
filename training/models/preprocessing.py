"""Scaling of feature rows for the network: column by column, so that contributions stay with their feature."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from bentos.core.errors import DataError
from bentos.core.explain import scale_rows
from bentos.core.features import FEATURE_NAMES

__all__ = ["LOG_FEATURES", "ElementwiseScaler"]

#: Features whose values span orders of magnitude: money, counts, minutes, kilometres, deviations.
LOG_FEATURES: Final = tuple(
    name
    for name in FEATURE_NAMES
    if name in ("amount", "minutes_since_last_transaction", "amount_deviation", "distance_km")
    or "_transactions_" in name
    or "_average_amount_" in name
)


class ElementwiseScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """z = clip((f(x) − mean) / scale, −clip, clip), where f is sign(x) log(1 + |x|) for some columns, else x.

    Parameters
    ----------
    clip
        Bound of the result, in standard deviations; a value far outside of what was seen in training is held there.
    log
        Names of the columns that are taken as logarithms.

    Attributes
    ----------
    log_ : bool [n_features]
    mean_, scale_ : float64 [n_features]
        Of f(x) over the training rows; the scale of a constant column is 1.
    """

    def __init__(self, clip: float = 30.0, log: tuple[str, ...] = LOG_FEATURES) -> None:
        self.clip = clip
        self.log = log

    def fit(self, X: NDArray[Any], y: object = None) -> ElementwiseScaler:  # noqa: ARG002 - sklearn's signature
        """Learn mean and scale of float [n, 21] rows."""
        rows = np.asarray(X)
        if rows.ndim != 2 or rows.shape[1] != len(FEATURE_NAMES) or not len(rows):
            raise DataError(
                f"rows to fit the scaler on have the shape {rows.shape}; needed is [n, {len(FEATURE_NAMES)}]"
            )
        self.n_features_in_ = rows.shape[1]
        self.log_ = np.array([name in self.log for name in FEATURE_NAMES])
        width = self.n_features_in_
        values = scale_rows(rows, self.log_, np.zeros(width), np.ones(width), np.inf)
        self.mean_ = values.mean(axis=0)
        deviation = values.std(axis=0)
        self.scale_ = np.where(deviation > 1e-9, deviation, 1.0)
        return self

    def transform(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Scaled rows, float32 [n, 21], as the network is trained on them."""
        return self.exact(X).astype(np.float32)

    def exact(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Scaled rows in float64, as scores are computed from them."""
        check_is_fitted(self)
        return scale_rows(np.asarray(X), self.log_, self.mean_, self.scale_, self.clip)
