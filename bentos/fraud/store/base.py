"""The interface of a feature store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bentos.core.features.snapshot import Snapshot
from bentos.core.features.windows import FloatArray
from bentos.core.transaction import Transaction

__all__ = ["FeatureRows", "FeatureStore"]


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """Features of n transactions.

    Parameters
    ----------
    values
        float64 [n, 21] in the order of ``FEATURES``.
    degraded
        Of each row, the names of the features that hold their default because the store could not be asked.
    """

    values: FloatArray
    degraded: Sequence[tuple[str, ...]]


class FeatureStore(Protocol):
    """Keeps the state of every key. Safe for use by several threads; several processes share one store."""

    async def lookup_many(self, transactions: Sequence[Transaction], record: Sequence[bool]) -> FeatureRows:
        """Features of n transactions, in order: a later one sees an earlier one that was recorded.

        Reading and recording one transaction are one atomic step. A repeated transaction_id counts once and does not
        see its own first attempt. When the store fails, rows hold defaults and name them; nothing is raised.

        Parameters
        ----------
        transactions
            n of them, each with its transaction_id.
        record
            Of each, whether it becomes part of its keys' history.
        """
        ...

    def label(self, transaction: Transaction, label_time: int) -> None:
        """Note that a transaction is fraud, known since ``label_time`` (microseconds since 1970 UTC)."""
        ...

    def fill(self, snapshot: Snapshot) -> bool:
        """Take over a snapshot's states if the store is new; returns whether it did."""
        ...

    def check(self) -> str | None:
        """What is wrong with the store, None when nothing is."""
        ...

    def close(self) -> None:
        """Give back what the store holds open."""
        ...
