"""A record of a prediction as plain values, on its way to the database."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

__all__ = ["COLUMNS", "MODEL", "Values", "completed"]

#: In the order of :data:`Values`.
COLUMNS: Final = (
    "transaction_id",
    "customer_id",
    "merchant_id",
    "hashed",
    "merchant_category",
    "amount",
    "event_time",
    "offset_seconds",
    "score",
    "raw_score",
    "decision",
    "model_name",
    "model_version",
    "role",
    "degraded",
    "reasons",
    "features",
    "created_at",
    "block_review_share",
)
#: Of the columns, those that tell the model: its name, version and role.
MODEL: Final = slice(COLUMNS.index("model_name"), COLUMNS.index("role") + 1)
Values: TypeAlias = tuple[Any, ...]


def completed(records: list[Values]) -> list[Values]:
    """Records that an earlier version may have left, with every column: those it did not know are NULL."""
    missing = len(COLUMNS) - len(records[0]) if records else 0
    return [record + (None,) * missing for record in records] if missing else records
