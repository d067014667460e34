"""Feature rows and scores of recorded predictions, for who looks at many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from bentos.core.answers import ModelVersion
from bentos.fraud.records.tables import PREDICTIONS

__all__ = ["ScoredRows", "scored_rows"]

_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Some predictions, in the order of their numbers.

    Parameters
    ----------
    created_at
        Microseconds since 1970 UTC, int64 [n].
    values
        Feature rows, float64 [n, 21].
    scores
        float64 [n].
    alerts
        Whether each was reviewed or blocked, bool [n].
    categories
        Of the merchants, str [n] as objects.
    """

    created_at: NDArray[np.int64]
    values: NDArray[np.float64]
    scores: NDArray[np.float64]
    alerts: NDArray[np.bool_]
    categories: NDArray[np.object_]


def scored_rows(connection: Connection, model: ModelVersion, since: int, until: int) -> Iterator[ScoredRows]:
    """Predictions that a model made, some thousand at a time; the rules' are left out.

    Parameters
    ----------
    connection
        To read from.
    model
        That made them.
    since, until
        When, microseconds since 1970 UTC: from ``since``, to before ``until``.
    """
    table = PREDICTIONS.c
    query = (
        select(table.id, table.created_at, table.features, table.score, table.decision, table.merchant_category)
        .where(table.created_at >= since, table.created_at < until)
        .where(table.model_name == model.name, table.model_version == model.version, table.raw_score.is_not(None))
        .order_by(table.created_at, table.id)
        .execution_options(yield_per=_ROWS)
    )
    for part in connection.execute(query).partitions():
        yield ScoredRows(
            np.array([row.created_at for row in part], np.int64),
            np.array([np.frombuffer(row.features, "<f8") for row in part]),
            np.array([row.score for row in part]),
            np.array([row.decision != "approve" for row in part]),
            np.array([row.merchant_category for row in part], dtype=object),
        )
