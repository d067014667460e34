"""What is done beside requests: a thread of each worker, of which one at a time does what is to be done once for all.

That one tells the feature store of labels, joins what was overlooked, counts quality and removes what is too old. Every
worker looks whether the database answers, and shows the quality that was counted last.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from bentos.core.errors import FraudError, Unavailable
from bentos.fraud.records.database import Database, upgrade
from bentos.fraud.records.identifiers import Identifiers
from bentos.fraud.records.labels import Applied
from bentos.fraud.records.leases import CHORES, Lease
from bentos.fraud.records.outbox import Outbox
from bentos.fraud.records.pair_quality import Cells, PairKey, count_pairs, keep_pairs, kept_pairs
from bentos.fraud.records.pending import any_overlooked, join_left
from bentos.fraud.records.quality import ModelKey, Quality, count_quality, keep_quality, kept_quality
from bentos.fraud.records.retention import Removed, expire
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.tables import LEASES

__all__ = ["Chores"]

_LOOK_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 10.0
_JOIN_SECONDS: Final = 5.0
_JOINED_ROWS: Final = 1000
_PAUSE_SECONDS: Final = 0.05
_EXPIRE_SECONDS: Final = 5.0
#: Of the time, at most a twentieth goes into counting pairs: all of them are read for an equal budget.
_PAIRS_PAUSE: Final = 19.0
#: Microseconds that a transaction of a label or a prediction may take.
_OVERLAP: Final = 600_000_000
_DAY: Final = 86_400_000_000
_LOGGER = logging.getLogger(__name__)


class Chores:
    """The thread of one worker.

    Parameters
    ----------
    database
        Of the records.
    outbox
        Tells the feature store.
    identifiers
        How customers and merchants are written.
    settings
        How often what is done.
    on_joined
        Told of labels that had waited; in this thread.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        identifiers: Identifiers,
        settings: RecordsSettings,
        on_joined: Callable[[list[Applied]], None],
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._identifiers = identifiers
        self._settings = settings
        self._on_joined = on_joined
        #: As it was counted last, by whoever did it.
        self.quality: Mapping[ModelKey, Quality] = {}
        #: Labelled pairs, likewise.
        self.pairs: Mapping[PairKey, Cells] = {}
        self._lease = Lease(database, CHORES)
        self._ready = False
        # Of pending labels, those that came before are joined, or their predictions have not come.
        self._joined_until = 0
        self._due: dict[str, float] = {}
        self._wrong: dict[str, str] = {}
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="records-chores", daemon=True)

    @property
    def trouble(self) -> str | None:
        """What is wrong, None when nothing is."""
        return next(iter(self._wrong.values()), None)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look now: there is something to tell the feature store."""
        self._woken.set()

    def stop(self, timeout_seconds: float) -> None:
        """End it, and wait until it has."""
        self._stopped.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._look()
            self._woken.wait(_LOOK_SECONDS)
            self._woken.clear()
        with contextlib.suppress(SQLAlchemyError):
            self._lease.release()

    def _look(self) -> None:
        try:
            self._get_ready()
            held = self._lease.hold()
            if self._is_due("quality shown", self._settings.quality_interval_seconds):
                with self._database.read() as connection:
                    self.quality = kept_quality(connection)
                    self.pairs = kept_pairs(connection)
            self._wrong.pop("database", None)
        except (SQLAlchemyError, FraudError) as error:
            self._tell("database", "the records database cannot be used", error)
            return
        except Exception as error:
            if self._tell("database", "the records cannot be looked after", error):
                _LOGGER.exception("the records cannot be looked after")
            return
        if held:
            self._do("features", "labels cannot reach the feature store", self._deliver)
            settings = self._settings
            self._do("labels", "labels cannot be joined", self._join, _JOIN_SECONDS)
            self._do("quality", "quality cannot be counted", self._count, settings.quality_interval_seconds)
            self._do("pairs", "labelled pairs cannot be counted", self._count_pairs, settings.quality_interval_seconds)
            self._do("retention", "old records cannot be removed", self._expire, settings.retention_interval_seconds)
        else:
            self._joined_until = 0
            for name in ("features", "labels", "quality", "pairs", "retention"):
                self._wrong.pop(name, None)

    def _get_ready(self) -> None:
        with contextlib.suppress(SQLAlchemyError), self._database.read() as connection:
            connection.execute(select(LEASES.c.until)).close()
            self._ready = True
            return
        if not self._ready:
            # The database was down when the server started. Alembic is heavy: no worker loads it without need.
            upgrade(self._settings)
            self._ready = True
            return
        raise Unavailable("it does not answer")

    def _do(self, name: str, complaint: str, work: Callable[[], None], interval: float = 0.0) -> None:
        if self._stopped.is_set() or not self._is_due(name, interval):
            return
        try:
            work()
            self._wrong.pop(name, None)
        except Exception as error:
            new = self._tell(name, complaint, error)
            self._due[name] = time.monotonic() + min(interval, _RETRY_SECONDS)
            # Once, not at every look.
            if new and not isinstance(error, SQLAlchemyError | Unavailable):
                _LOGGER.exception(complaint)

    def _tell(self, name: str, complaint: str, error: Exception) -> bool:
        """Note what is wrong; whether that is new."""
        # An error of SQLAlchemy holds values, and one of the driver where the database is.
        detail = str(error) if isinstance(error, FraudError) else type(error).__name__
        new = name not in self._wrong
        if new:
            _LOGGER.warning("%s: %s", complaint, detail)
        self._wrong[name] = f"{complaint}: {detail}"
        return new

    def _is_due(self, name: str, interval: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(name, 0.0):
            return False
        self._due[name] = now + interval
        return True

    def _deliver(self) -> None:
        while not self._stopped.is_set() and self._outbox.deliver():
            if not self._lease.hold():
                return

    def _join(self) -> None:
        with self._database.read(patient=True) as connection:
            began = self._database.now(connection)
            overlooked = any_overlooked(connection, self._joined_until)
        while overlooked and not self._stopped.is_set() and self._lease.hold():
            with self._database.begin() as connection:
                joined = join_left(connection, self._identifiers, _JOINED_ROWS, self._joined_until)
            if joined:
                self._on_joined(joined)
            overlooked = len(joined) == _JOINED_ROWS
        if not overlooked:
            # Those that waited already then, a moment's writers apart, need not be looked at again.
            self._joined_until = began - _OVERLAP

    def _count(self) -> None:
        with self._database.read(patient=True) as connection:
            since = self._database.now(connection) - int(self._settings.quality_window_days * _DAY)
            found = count_quality(connection, since)
            if found == kept_quality(connection):
                return
        with self._database.begin() as connection:
            keep_quality(connection, found)
        self.quality = found

    def _count_pairs(self) -> None:
        started = time.monotonic()
        with self._database.read(patient=True) as connection:
            since = self._database.now(connection) - int(self._settings.quality_window_days * _DAY)
            found = {key: pairs.cells for key, pairs in count_pairs(connection, since).items()}
            known = kept_pairs(connection)
        ended = time.monotonic()
        self._due["pairs"] = max(self._due["pairs"], ended + _PAIRS_PAUSE * (ended - started))
        # Models without a labelled pair have nothing to be kept.
        found = {key: cells for key, cells in found.items() if cells}
        if found == known:
            return
        with self._database.begin() as connection:
            keep_pairs(connection, found)
        self.pairs = found

    def _expire(self) -> None:
        until = time.monotonic() + _EXPIRE_SECONDS

        def pause() -> bool:
            # The rest of it soon: labels wait for this thread too.
            return not self._lease.hold() or self._stopped.wait(_PAUSE_SECONDS) or time.monotonic() > until

        with self._database.read() as connection:
            now = self._database.now(connection)
        removed, finished = expire(self._database, self._settings, now, pause)
        if not finished:
            self._due["retention"] = 0.0
        if removed != Removed():
            _LOGGER.info("%s", removed)
