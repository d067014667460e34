"""Feature rows of transactions whose history could not be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.features.definitions import FEATURES
from bentos.core.features.online import feature_rows
from bentos.core.features.windows import FloatArray
from bentos.core.transaction import Transaction
from bentos.fraud.store.base import FeatureRows

__all__ = ["rows_without"]

_HISTORIC: Final = np.array([feature.source != "transaction" for feature in FEATURES])
_DEFAULTS: Final = [feature.default for feature in FEATURES if feature.source != "transaction"]
_DEGRADED: Final = tuple(feature.name for feature in FEATURES if feature.source != "transaction")


def rows_without(
    failed: NDArray[np.bool_], transactions: Sequence[Transaction], times: Sequence[int], statistics: FloatArray
) -> FeatureRows:
    """Rows of n transactions, those of the failed ones with defaults for what needs a history.

    Parameters
    ----------
    failed
        bool [n].
    transactions, times, statistics
        See :func:`.online.feature_rows`; the failed ones' statistics are not read.
    """
    statistics[:, failed] = 0.0
    values = feature_rows(transactions, times, statistics)
    # What the transaction says by itself is still true; the rest was not asked.
    values[np.ix_(failed, _HISTORIC)] = _DEFAULTS
    return FeatureRows(values, [_DEGRADED if lost else () for lost in failed])
