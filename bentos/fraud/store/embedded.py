"""The feature store of a single machine: one mapped file that all workers share, in memory where there is room."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import numpy as np

from bentos.core.errors import DataError, Unavailable
from bentos.core.features import _states
from bentos.core.features.clock import DAY
from bentos.core.features.history import CATEGORY, CUSTOMER, KINDS, MERCHANT, KeyKind
from bentos.core.features.online import feature_rows
from bentos.core.features.pseudonyms import EventKey, Pseudonyms
from bentos.core.features.snapshot import Snapshot, joined_states
from bentos.core.features.state import CELL, NO_LABEL
from bentos.core.features.window_statistics import WIDTH
from bentos.core.transaction import Transaction, microseconds
from bentos.fraud.store.base import Delivery, FeatureRows, require_fingerprint
from bentos.fraud.store.copying import Copier, drain
from bentos.fraud.store.defaults import rows_without
from bentos.fraud.store.file import StateFile, now_microseconds
from bentos.fraud.store.pacing import WritePacer

__all__ = ["DEFAULT_CAPACITY_BYTES", "ROW", "EmbeddedStore"]

_LOGGER = logging.getLogger(__name__)
_CACHED_KEYS: Final = 16_384
DEFAULT_CAPACITY_BYTES: Final = 8 * 1024**3
#: Keys, identity, time, amount, whether to record.
ROW: Final = struct.Struct("=16s16s16sQqdq")
_UNRECORDED: Final = (_states.FULL, _states.NO_SPACE)
#: Microseconds for which the last transaction that was not recorded makes the store unhealthy.
_TROUBLE_LASTS: Final = 60_000_000
#: Seconds; a round takes a few.
_COPY_LATE: Final = 60.0
_TROUBLE: Final = {
    _states.FULL: "its capacity is reached; transactions are scored but not recorded",
    _states.NO_SPACE: "the disk, or the folder in memory, cannot take more; transactions are scored but not recorded",
    _states.BUSY: "another process holds its lock; features take their defaults",
    _states.DAMAGED: "its content is damaged; features take their defaults until the server starts again",
}


class EmbeddedStore:
    """States in memory that every worker maps, and their copy in a file; or in the mapped file itself.

    What was recorded survives the end of any process, kill -9 included. A power cut may take the last seconds; where
    the file itself is mapped, the last half minute and keys that were being written. That is no more than the contract
    of recording promises (labels and jobs are kept elsewhere).

    Parameters
    ----------
    path
        Of the file, on a local disk; made when there is none.
    pseudonyms
        The hash of the keys.
    capacity_bytes
        Largest size of the file. At the limit keys that have expired make room; if none has, transactions are scored
        but not recorded.
    clock
        Microseconds since 1970 UTC. A key's cells expire by its newest event, but an event counts as at most a day
        ahead of the clock: one wrong date cannot push out a history.
    memory
        Folder in memory, such as /dev/shm, where the states lie while the file is their copy. None, or a folder that
        is too small: the file itself is mapped.
    paced
        Whether a thread brings changes to the disk evenly: for processes that serve; see :mod:`.copying`, and for a
        mapped file :mod:`.pacing`.

    Raises
    ------
    Unavailable
        When the file cannot be opened.
    ArtifactIncompatible
        When the file was written for other features, or with another pseudonym key.
    """

    waits = False

    def __init__(
        self,
        path: Path,
        pseudonyms: Pseudonyms,
        capacity_bytes: int = DEFAULT_CAPACITY_BYTES,
        clock: Callable[[], int] = now_microseconds,
        *,
        memory: Path | None = None,
        paced: bool = False,
    ) -> None:
        self._path = path
        self._pseudonyms = pseudonyms
        # Few merchants and categories make most of the traffic; a hash costs five times as much as a look at these.
        self._merchant_key = lru_cache(_CACHED_KEYS)(partial(pseudonyms.key, MERCHANT))
        self._category_key = lru_cache(_CACHED_KEYS)(partial(pseudonyms.key, CATEGORY))
        self._clock = clock
        self._trouble = _states.DONE
        self._trouble_until = 0
        self.states = StateFile(path, pseudonyms.fingerprint(), capacity_bytes, memory).open()
        self._in_memory = self.states.copying is not None
        self._closed = False
        self._opened = now_microseconds()
        self._writer: Copier | WritePacer | None = None
        if paced:
            self._writer = Copier(self.states, path) if self._in_memory else WritePacer(path)

    async def lookup_many(self, transactions: Sequence[Transaction], record: Sequence[bool]) -> FeatureRows:
        """See :meth:`.base.FeatureStore.lookup_many`. Never waits but for a lock, 0.1 s at most."""
        times = [microseconds(item.timestamp) for item in transactions]
        rows = b"".join(map(self._packed, transactions, times, record))
        statistics = np.empty((WIDTH, len(times)))
        outcomes = bytearray(len(times))
        try:
            worst = self.states.lookup(rows, statistics, outcomes, self._clock())
        except ValueError:
            # Closed.
            worst = _states.DAMAGED
            outcomes[:] = bytes([worst]) * len(outcomes)
        if worst:
            self._note(worst)
        if worst < _states.BUSY:
            return FeatureRows(feature_rows(transactions, times, statistics), [()] * len(times))
        return rows_without(np.frombuffer(outcomes, np.uint8) >= _states.BUSY, transactions, times, statistics)

    def _packed(self, transaction: Transaction, time: int, record: bool) -> bytes:
        names = self._pseudonyms
        if transaction.transaction_id is None:
            raise DataError("a transaction needs its transaction_id before it is looked up")
        return ROW.pack(
            names.key(CUSTOMER, transaction.customer_id),
            self._merchant_key(transaction.merchant_id),
            self._category_key(transaction.merchant_category),
            names.identity(transaction.transaction_id),
            time,
            transaction.amount,
            record,
        )

    def _note(self, outcome: int) -> None:
        now = self._clock()
        if outcome != self._trouble or now > self._trouble_until:
            _LOGGER.error("feature store %s: %s", self._path, _TROUBLE[outcome])
        # Near its limit a store takes one transaction and not the next: one line a minute will do.
        self._trouble, self._trouble_until = outcome, now + _TROUBLE_LASTS

    def label(self, event: EventKey, label_time: int | None, delivery: Delivery | None = None) -> None:
        """See :meth:`.base.FeatureStore.label`."""
        until = NO_LABEL if label_time is None else label_time
        told = () if delivery is None else (delivery.source, delivery.serial)
        try:
            outcome = self.states.label(event.keys, event.identity, event.time, until, *told)
        except ValueError as error:
            raise Unavailable(f"the feature store {self._path} cannot be written: {error}") from error
        self._require(outcome)

    def _require(self, outcome: int) -> None:
        if outcome != _states.DONE:
            raise Unavailable(f"the feature store {self._path} cannot be written: {_TROUBLE[outcome]}")

    def erase(self, kind: KeyKind, identifier: str) -> bool:
        """See :meth:`.base.FeatureStore.erase`."""
        try:
            outcome, found = self.states.erase(self._pseudonyms.key(kind, identifier))
        except ValueError as error:
            raise self._unreadable(error) from error
        self._require(outcome)
        return found

    def newest(self) -> int | None:
        """See :meth:`.base.FeatureStore.newest`."""
        try:
            return self.states.latest or None
        except ValueError as error:
            raise self._unreadable(error) from error

    def extract(self, keys: Mapping[KeyKind, Sequence[str]]) -> Snapshot:
        """See :meth:`.base.FeatureStore.extract`."""
        names = self._pseudonyms
        states = {}
        try:
            for kind in KINDS:
                hashes = [names.key(kind, identifier) for identifier in dict.fromkeys(keys.get(kind, ()))]
                found = [(key, *self.states.read(key)) for key in hashes]
                states[kind.name] = joined_states(
                    [(key, buckets, np.frombuffer(cells, CELL)) for key, cells, buckets in found if cells]
                )
        except (ValueError, TimeoutError) as error:
            raise self._unreadable(error) from error
        return Snapshot(self.newest() or 0, names.fingerprint(), states)

    def _unreadable(self, error: Exception) -> Unavailable:
        return Unavailable(f"the feature store {self._path} cannot be used: {error}")

    def fill(self, snapshot: Snapshot) -> bool:
        """See :meth:`.base.FeatureStore.fill`.

        Raises
        ------
        ArtifactIncompatible
            When the snapshot's keys were hashed with another pseudonym key.
        Unavailable
            When the store cannot be written.
        """
        require_fingerprint(snapshot, self._pseudonyms)
        if self.states.filled:
            return False
        self.add(snapshot)
        self._require(self.states.set_filled())
        return True

    def add(self, snapshot: Snapshot) -> None:
        """See :meth:`.base.FeatureStore.add`."""
        require_fingerprint(snapshot, self._pseudonyms)
        for number, kind in enumerate(KINDS):
            states = snapshot.states[kind.name]
            # A state that live traffic has begun stays: it is newer than the snapshot.
            outcome, unsound = self.states.fill(number, states.hashes, states.offsets, states.buckets, states.cells)
            self._require(outcome)
            if unsound:
                _LOGGER.warning("%d states of a %s in the feature snapshot make no sense", unsound, kind.name)
        self._require(self.states.note_latest(min(snapshot.taken_at, self._clock() + DAY)))

    def check(self) -> str | None:
        """See :meth:`.base.FeatureStore.check`."""
        try:
            outcome = self.states.check()
        except ValueError as error:
            return str(error)
        if outcome == _states.DONE and self._trouble in _UNRECORDED and self._clock() <= self._trouble_until:
            outcome = self._trouble
        return _TROUBLE.get(outcome) or self._copy_trouble()

    def _copy_trouble(self) -> str | None:
        copying = self.states.copying
        if copying is None or self._writer is None or not copying[2]:
            return None
        behind = (now_microseconds() - max(copying[4], self._opened)) / 1e6
        return f"the disk lacks its changes of the last {behind:.0f} s; see the log" if behind > _COPY_LATE else None

    def stats(self) -> dict[str, int]:
        """For operators: keys, bytes used, of the file and allowed; counts of what came to grief."""
        return self.states.stats() | {"in_memory": int(self._in_memory)}

    async def leave(self) -> None:
        """See :meth:`.base.FeatureStore.leave`; there is nothing."""

    def close(self) -> None:
        """See :meth:`.base.FeatureStore.close`; what lies in memory reaches the disk first."""
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            self._writer.stop()
        if self._in_memory:
            drain(self.states, self._path)
        self.states.close()
