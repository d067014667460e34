"""The feature store of teams that run Feast: states in its online store, whichever that is.

Feast reads and writes rows; it has no step that does both. Writers on one machine wait for each other, writers on
several may lose each other's transactions: docs/feast.md says what that means.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from bentos.core.errors import DataError, FraudError, Unavailable
from bentos.core.features.clock import DAY
from bentos.core.features.definitions import FEATURES
from bentos.core.features.history import CATEGORY, CUSTOMER, KINDS, MERCHANT, KeyKind
from bentos.core.features.pseudonyms import EventKey, Pseudonyms
from bentos.core.features.snapshot import Snapshot, joined_states
from bentos.core.features.window_statistics import WIDTH
from bentos.core.transaction import Transaction, microseconds
from bentos.fraud.store.base import Delivery, FeatureRows, require_fingerprint
from bentos.fraud.store.breaker import Breaker
from bentos.fraud.store.defaults import rows_without
from bentos.fraud.store.feast_keys import FeastKeys, Lookup
from bentos.fraud.store.feast_rows import FeastRows
from bentos.fraud.store.file import now_microseconds
from bentos.fraud.store.file_lock import FileLock

__all__ = ["FeastPlace", "FeastStore"]

_LOGGER = logging.getLogger(__name__)
_T = TypeVar("_T")
_CACHED_KEYS: Final = 16_384
#: Rows of one call: others wait meanwhile.
_ROWS: Final = 128
#: Keys of one call that moves whole states.
_STATES: Final = 64
#: What Feast's client takes longer for has hung.
_HUNG_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class FeastPlace:
    """Where the states are, and how long to wait for them.

    Parameters
    ----------
    repository
        Folder with feature_store.yaml; applied.
    lock_file
        Shared by all that write to the store on this machine.
    timeout_seconds
        Of a lookup.
    failures
        Within ten seconds, after which the store is left alone for a while.
    """

    repository: Path
    lock_file: Path
    timeout_seconds: float = 0.1
    failures: int = 5


class FeastStore:
    """States in a Feast online store.

    All that Feast does is done in one thread: its clients want that, they block, and no two calls of a process change a
    state at once.

    Parameters
    ----------
    place
        Of the repository.
    pseudonyms
        The hash of the keys.
    clock
        Microseconds since 1970 UTC; see :class:`.embedded.EmbeddedStore`.

    Raises
    ------
    ConfigError
        When Feast is not installed, there is no such repository, or it was not applied.
    ArtifactIncompatible
        When it was made for other features, or for another pseudonym key.
    """

    waits = True

    def __init__(self, place: FeastPlace, pseudonyms: Pseudonyms, clock: Callable[[], int] = now_microseconds) -> None:
        self._place = place
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._merchant_key = lru_cache(_CACHED_KEYS)(partial(pseudonyms.key, MERCHANT))
        self._category_key = lru_cache(_CACHED_KEYS)(partial(pseudonyms.key, CATEGORY))
        self._breaker = Breaker(place.failures)
        self._closed = False
        self._lost = False
        rows = FeastRows(place.repository, pseudonyms.fingerprint())
        self._keys = FeastKeys(rows, FileLock(place.lock_file), clock)
        self._thread = ThreadPoolExecutor(1, "feast")

    # ---- looking up

    async def lookup_many(self, transactions: Sequence[Transaction], record: Sequence[bool]) -> FeatureRows:
        """See :meth:`.base.FeatureStore.lookup_many`; atomic among the processes of one machine, not among machines."""
        parts = [FeatureRows(np.empty((0, len(FEATURES))), [])]
        for start in range(0, len(transactions), _ROWS):
            asked = self._lookup(transactions[start : start + _ROWS], record[start : start + _ROWS])
            parts.append(await self._asked(asked))
        if len(parts) == 2:
            return parts[1]
        values = np.concatenate([part.values for part in parts])
        return FeatureRows(values, [names for part in parts for names in part.degraded])

    def _lookup(self, transactions: Sequence[Transaction], record: Sequence[bool]) -> Lookup:
        names = self._pseudonyms
        keys, identities = [], []
        for item in transactions:
            if item.transaction_id is None:
                raise DataError("a transaction needs its transaction_id before it is looked up")
            customer = names.key(CUSTOMER, item.customer_id)
            keys.append((customer, self._merchant_key(item.merchant_id), self._category_key(item.merchant_category)))
            identities.append(names.identity(item.transaction_id))
        return Lookup(transactions, keys, identities, [microseconds(item.timestamp) for item in transactions], record)

    async def _asked(self, asked: Lookup) -> FeatureRows:
        if not self._closed and self._breaker.allows():
            try:
                async with asyncio.timeout(self._place.timeout_seconds):
                    work = self._thread.submit(self._keys.look_up, asked, self._place.timeout_seconds)
                    rows = await asyncio.wrap_future(work)
            except Exception as error:  # noqa: BLE001 - each online store of Feast fails in a way of its own
                self._failed(error)
            else:
                self._breaker.worked()
                return rows
        count = len(asked.times)
        return rows_without(np.ones(count, bool), asked.transactions, asked.times, np.empty((WIDTH, count)))

    def _failed(self, error: Exception) -> str:
        reason = _reason(error)
        self._lost = isinstance(error, (OSError, TimeoutError)) or "Connection" in type(error).__name__
        if self._breaker.failed(reason):
            _LOGGER.error("%s; features take their defaults until it works again", reason)
        return reason

    # ---- beside

    def _do(self, what: Callable[[], _T]) -> _T:
        if self._closed:
            raise Unavailable("the feature store in Feast is closed")
        try:
            result = self._thread.submit(what).result(_HUNG_SECONDS)
        except FraudError as error:
            raise Unavailable(f"the feature store in Feast: {error}") from error
        except Exception as error:
            raise Unavailable(self._failed(error)) from error
        if self._lost:
            # It is there again. Whether it takes what a lookup writes, only a lookup can tell.
            self._breaker.worked()
        return result

    def label(self, event: EventKey, label_time: int | None, delivery: Delivery | None = None) -> None:
        """See :meth:`.base.FeatureStore.label`."""
        self._do(partial(self._keys.label, event, label_time, delivery))

    def erase(self, kind: KeyKind, identifier: str) -> bool:
        """See :meth:`.base.FeatureStore.erase`. The key's hash stays, with an empty history: Feast deletes no row."""
        return self._do(partial(self._keys.forget, kind, self._pseudonyms.key(kind, identifier)))

    def newest(self) -> int | None:
        """See :meth:`.base.FeatureStore.newest`; other processes learn here what this one has recorded."""
        return self._do(self._keys.newest) or None

    def extract(self, keys: Mapping[KeyKind, Sequence[str]]) -> Snapshot:
        """See :meth:`.base.FeatureStore.extract`."""
        states = {}
        for kind in KINDS:
            hashes = [self._pseudonyms.key(kind, one) for one in dict.fromkeys(keys.get(kind, ()))]
            found = []
            for start in range(0, len(hashes), _STATES):
                found += self._do(partial(self._keys.states, kind, hashes[start : start + _STATES]))
            states[kind.name] = joined_states(found)
        return Snapshot(self.newest() or 0, self._pseudonyms.fingerprint(), states)

    def fill(self, snapshot: Snapshot) -> bool:
        """See :meth:`.base.FeatureStore.fill`. Several that start at once may all do it, with the same outcome.

        Raises
        ------
        ArtifactIncompatible
            When the snapshot's keys were hashed with another pseudonym key.
        Unavailable
            When the store fails.
        """
        require_fingerprint(snapshot, self._pseudonyms)
        if self._do(self._keys.is_filled):
            return False
        self.add(snapshot)
        return self._do(self._keys.note_filled)

    def add(self, snapshot: Snapshot) -> None:
        """See :meth:`.base.FeatureStore.add`."""
        require_fingerprint(snapshot, self._pseudonyms)
        for kind in KINDS:
            states = snapshot.states[kind.name]
            count, unsound = len(states.hashes), 0
            for start in range(0, count, _STATES):
                part = range(start, min(start + _STATES, count))
                unsound += self._do(partial(self._keys.put, kind, states, part))
            if unsound:
                _LOGGER.warning("%d states of a %s in the feature snapshot make no sense", unsound, kind.name)
        self._do(partial(self._keys.note_newest, min(snapshot.taken_at, self._clock() + DAY)))
        self.newest()

    def check(self) -> str | None:
        """See :meth:`.base.FeatureStore.check`; asks nobody, but tells how the last calls went."""
        return "the feature store in Feast is closed" if self._closed else self._breaker.trouble

    def stats(self) -> dict[str, int]:
        """For operators: nothing, because Feast counts neither keys nor bytes."""
        return {}

    async def leave(self) -> None:
        """See :meth:`.base.FeatureStore.leave`; there is nothing."""

    def close(self) -> None:
        """See :meth:`.base.FeatureStore.close`; what is being done is finished first."""
        if not self._closed:
            self._closed = True
            self._thread.shutdown(cancel_futures=True)
            self._keys.close()


def _reason(error: Exception) -> str:
    # Never a library's own text: it may name an address or a password.
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "the feature store in Feast did not answer in time"
    return f"the feature store in Feast fails: {type(error).__name__}"
