"""Looks once a second how old the newest recorded event is; beside, and without a request's help, whether Redis works.

A store that answers may still be stale: when nothing has been recorded for long, what it says of yesterday is true and
no longer enough.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bentos.core.errors import Unavailable
from bentos.core.features.history import KeyKind
from bentos.core.features.pseudonyms import EventKey
from bentos.core.features.snapshot import Snapshot
from bentos.core.transaction import Transaction
from bentos.fraud.store.base import Delivery, FeatureRows, FeatureStore
from bentos.fraud.store.file import now_microseconds

__all__ = ["STALE", "StoreWatch", "WatchedStore"]

#: In an answer's ``degraded``, when the age limit is passed.
STALE: Final = "features_stale"
_PAUSE_SECONDS: Final = 1.0


class StoreWatch:
    """A thread that looks.

    Parameters
    ----------
    store
        To look at.
    on_age
        Told the age in seconds each time it is known; called in the thread.
    limit_seconds
        From which age on the features are stale; None for never.
    pause_seconds
        Between two looks.
    clock
        Microseconds since 1970 UTC.
    """

    def __init__(
        self,
        store: FeatureStore,
        on_age: Callable[[float], None],
        limit_seconds: float | None = None,
        pause_seconds: float = _PAUSE_SECONDS,
        clock: Callable[[], int] = now_microseconds,
    ) -> None:
        self._store = store
        self._on_age = on_age
        self._limit_seconds = limit_seconds
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._newest: int | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-watch", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """That the features are stale, None when they are not or no limit is set."""
        age = self._age()
        if age is None or self._limit_seconds is None or age < self._limit_seconds:
            return None
        return f"the newest recorded transaction is {age:.0f} s old, allowed are {self._limit_seconds:g} s"

    def _age(self) -> float | None:
        return None if self._newest is None else max((self._clock() - self._newest) / 1e6, 0.0)

    def stop(self) -> None:
        """End it, and wait until it has."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            # What is wrong the store's check tells; the age goes on growing.
            with contextlib.suppress(Unavailable):
                self._newest = self._store.newest()
            age = self._age()
            if age is not None:
                self._on_age(age)
            if self._stopped.wait(self._pause_seconds):
                return


class WatchedStore:
    """A store whose rows name :data:`STALE` while they are; all else is the store's own.

    Parameters
    ----------
    store
        To ask.
    watch
        That knows.
    """

    def __init__(self, store: FeatureStore, watch: StoreWatch) -> None:
        self._store = store
        self._watch = watch
        self.waits = store.waits

    async def lookup_many(self, transactions: Sequence[Transaction], record: Sequence[bool]) -> FeatureRows:
        """See :meth:`.base.FeatureStore.lookup_many`."""
        rows = await self._store.lookup_many(transactions, record)
        if self._watch.trouble is None:
            return rows
        return FeatureRows(rows.values, [(*names, STALE) for names in rows.degraded])

    def label(self, event: EventKey, label_time: int | None, delivery: Delivery | None = None) -> None:
        """See :meth:`.base.FeatureStore.label`."""
        self._store.label(event, label_time, delivery)

    def erase(self, kind: KeyKind, identifier: str) -> bool:
        """See :meth:`.base.FeatureStore.erase`."""
        return self._store.erase(kind, identifier)

    def newest(self) -> int | None:
        """See :meth:`.base.FeatureStore.newest`."""
        return self._store.newest()

    def extract(self, keys: Mapping[KeyKind, Sequence[str]]) -> Snapshot:
        """See :meth:`.base.FeatureStore.extract`."""
        return self._store.extract(keys)

    def fill(self, snapshot: Snapshot) -> bool:
        """See :meth:`.base.FeatureStore.fill`."""
        return self._store.fill(snapshot)

    def add(self, snapshot: Snapshot) -> None:
        """See :meth:`.base.FeatureStore.add`."""
        self._store.add(snapshot)

    def stats(self) -> dict[str, int]:
        """See :meth:`.base.FeatureStore.stats`."""
        return self._store.stats()

    def check(self) -> str | None:
        """See :meth:`.base.FeatureStore.check`."""
        return self._store.check() or self._watch.trouble

    async def leave(self) -> None:
        """See :meth:`.base.FeatureStore.leave`."""
        await self._store.leave()

    def close(self) -> None:
        """See :meth:`.base.FeatureStore.close`."""
        self._watch.stop()
        self._store.close()
