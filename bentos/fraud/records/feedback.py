"""Takes labels: committed, on disk, before anybody is told. Calls that come at once share a commit."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final, TypeAlias

from sqlalchemy.exc import SQLAlchemyError

from bentos.core.errors import Overloaded, Unavailable
from bentos.fraud.records.database import Database
from bentos.fraud.records.failures import may_pass, translated
from bentos.fraud.records.identifiers import Identifiers
from bentos.fraud.records.labels import Applied, GivenLabel, apply_labels

__all__ = ["FeedbackDesk"]

#: Labels of one commit, and those that may wait for theirs.
_GROUP: Final = 2000
_WAITING: Final = 50_000
#: Beyond the database's own limit: a connection that says nothing at all.
_GRACE_SECONDS: Final = 10.0

_Call: TypeAlias = tuple[Sequence[GivenLabel], "Future[list[Applied]]"]


class FeedbackDesk:
    """Takes labels from one event loop.

    Parameters
    ----------
    database
        Of the records.
    identifiers
        How customers and merchants are written.
    timeout_seconds
        Of the database.
    """

    def __init__(self, database: Database, identifiers: Identifiers, timeout_seconds: float) -> None:
        self._database = database
        self._identifiers = identifiers
        self._timeout_seconds = timeout_seconds + _GRACE_SECONDS
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._waiting = 0
        self._thread: threading.Thread | None = None

    @property
    def idle(self) -> bool:
        """Whether no call waits to be taken."""
        return self._calls.empty()

    async def submit(self, labels: Sequence[GivenLabel]) -> list[Applied]:
        """Apply labels in order; they are on disk when this returns.

        Raises
        ------
        Overloaded
            When too many wait already.
        Unavailable
            When the database fails: nothing is said about these labels, and they are to be sent again.
        """
        if self._waiting + len(labels) > _WAITING:
            raise Overloaded("too many labels wait for the database already; try again")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="feedback", daemon=True)
            self._thread.start()
        done: Future[list[Applied]] = Future()
        self._waiting += len(labels)
        self._calls.put((labels, done))
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await asyncio.wrap_future(done)
        except TimeoutError as error:
            raise Unavailable("the records database does not answer; try again") from error
        finally:
            self._waiting -= len(labels)

    def close(self) -> None:
        """Finish what waits."""
        if self._thread is not None:
            self._calls.put(None)
            self._thread.join(self._timeout_seconds)

    def _run(self) -> None:
        ended = False
        while not ended:
            group, ended = self._grouped()
            if group:
                self._commit(group)

    def _grouped(self) -> tuple[list[_Call], bool]:
        group: list[_Call] = []
        size = 0
        call = self._calls.get()
        with contextlib.suppress(queue.Empty):
            while call is not None:
                # Whoever gave up meanwhile brings it again; a database that hangs must not make a heap of these.
                if call[1].set_running_or_notify_cancel():
                    group.append(call)
                    size += len(call[0])
                if size >= _GROUP:
                    return group, False
                call = self._calls.get_nowait()
            return group, True
        return group, False

    def _commit(self, group: Sequence[_Call]) -> None:
        try:
            labels = [label for call, _ in group for label in call]
            with translated(), self._database.begin() as connection:
                now = self._database.now(connection)
                applied = apply_labels(connection, self._identifiers, labels, now)
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for it
            cause = error.__cause__
            if len(group) > 1 and not (isinstance(cause, SQLAlchemyError) and may_pass(cause)):
                # One that cannot be written fails alone.
                for call in group:
                    self._commit([call])
                return
            for _, done in group:
                done.set_exception(error)
            return
        start = 0
        for own, done in group:
            # Also for those who left meanwhile: the labels are kept all the same.
            done.set_result(applied[start : start + len(own)])
            start += len(own)
