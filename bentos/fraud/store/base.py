"""The interface of a feature store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bentos.core.errors import ArtifactIncompatible
from bentos.core.features.history import KeyKind
from bentos.core.features.pseudonyms import EventKey, Pseudonyms
from bentos.core.features.snapshot import Snapshot
from bentos.core.features.windows import FloatArray
from bentos.core.transaction import Transaction

__all__ = ["Delivery", "FeatureRows", "FeatureStore", "require_fingerprint"]


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


@dataclass(frozen=True, slots=True)
class Delivery:
    """Which of a sender's messages a label is, so that one told twice is applied once.

    Parameters
    ----------
    source
        Of 16 bytes, random: who counts, such as a records database. A new source starts to count anew.
    serial
        From 1 to 2**53 - 1, in the order in which labels are told; gaps do not matter.
    """

    source: bytes
    serial: int


class FeatureStore(Protocol):
    """Keeps the state of every key. Safe for use by several threads; several processes share one store."""

    waits: bool
    """Whether lookups wait for another process to answer."""

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

    def label(self, event: EventKey, label_time: int | None, delivery: Delivery | None = None) -> None:
        """Note that a transaction is fraud, or take that back.

        The earliest label of an event counts, until it is taken back; then it may be labelled anew. An event that the
        store does not hold changes nothing. One that has folded into an hour counts there at each call: tell a store
        of changes only, and each of them once, which a delivery makes sure of.

        The store remembers the source that told it last and the highest serial, in one atomic step with the label. A
        delivery of that source whose serial is not higher changes nothing; one of another source is applied, and that
        source is remembered instead. Without a delivery the label is always applied, and nothing is remembered.

        Parameters
        ----------
        event
            The transaction.
        label_time
            Since when it is known, microseconds since 1970 UTC; None for a transaction that turned out legitimate.
        delivery
            Which message of whom this is; None when it cannot come twice.

        Raises
        ------
        Unavailable
            When the store fails; the label is not noted then.
        """
        ...

    def erase(self, kind: KeyKind, identifier: str) -> bool:
        """Forget a key, such as a customer; returns whether there was anything to forget.

        Raises
        ------
        Unavailable
            When the store fails.
        """
        ...

    def newest(self) -> int | None:
        """Time of the newest event that was recorded, microseconds since 1970 UTC; None when there is none.

        Raises
        ------
        Unavailable
            When the store fails.
        """
        ...

    def extract(self, keys: Mapping[KeyKind, Sequence[str]]) -> Snapshot:
        """States of many identifiers, for jobs: :meth:`fill` takes them over into another, temporary store.

        Every state is read whole, as it is at one instant, but not all at the same one. Blocks, for some microseconds
        an identifier, the calling thread only. Identifiers that the store does not know are left out; one that comes
        twice counts once.

        Parameters
        ----------
        keys
            Identifiers of each kind, as transactions name them; a kind that is left out has no states.

        Raises
        ------
        Unavailable
            When the store fails.
        """
        ...

    def fill(self, snapshot: Snapshot) -> bool:
        """Take over a snapshot's states if the store is new; returns whether it did."""
        ...

    def add(self, snapshot: Snapshot) -> None:
        """Take over the states whose keys the store does not hold, whether it is new or not.

        A state that the store holds stays as it is. May be repeated, and broken off: what is there is whole.

        Raises
        ------
        ArtifactIncompatible
            When the snapshot's keys were hashed with another pseudonym key.
        Unavailable
            When the store fails.
        """
        ...

    def stats(self) -> dict[str, int]:
        """For operators: ``keys`` and ``used_bytes`` at least, where what lies beneath counts them."""
        ...

    def check(self) -> str | None:
        """What is wrong with the store, None when nothing is."""
        ...

    async def leave(self) -> None:
        """Give back what belongs to the running event loop, such as connections; a later lookup takes them anew."""
        ...

    def close(self) -> None:
        """Give back what the store holds open."""
        ...


def require_fingerprint(snapshot: Snapshot, pseudonyms: Pseudonyms) -> None:
    """Refuse a snapshot whose keys nobody would find.

    Raises
    ------
    ArtifactIncompatible
        When they were hashed with another pseudonym key.
    """
    if snapshot.fingerprint != pseudonyms.fingerprint():
        raise ArtifactIncompatible(
            "the feature snapshot was written with another FRAUD_PSEUDONYM_KEY than this process has;"
            " set the same key, or make the snapshot again"
        )
