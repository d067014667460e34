"""The interface of a feature store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bentos.core.features.snapshot import Snapshot
from bentos.core.features.windows import FloatArray
from bentos.core.transaction import Transaction

__all__ = ["FeatureRow", "FeatureStore"]


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """Features of one transaction.

    Parameters
    ----------
    values
        float64 [21] in the order of ``FEATURES``.
    degraded
        Names of the features that hold their default because the store could not be asked.
    """

    values: FloatArray
    degraded: tuple[str, ...] = ()


class FeatureStore(Protocol):
    """Keeps the state of every key. Safe for use by several threads; several processes share one store."""

    def lookup(self, transaction: Transaction, *, record: bool) -> FeatureRow:
        """Features of a transaction, from what is known before it; with ``record`` it is then known.

        Reading and recording are one atomic step. A repeated transaction_id counts once and does not see its own
        first attempt. When the store fails, the row holds defaults and names them; nothing is raised.

        Parameters
        ----------
        transaction
            With its transaction_id.
        record
            Whether the transaction becomes part of its keys' history.
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
