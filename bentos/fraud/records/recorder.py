"""The process that records what workers predicted: reads their files (:mod:`.spool`) and writes the database.

One per server, beside its workers and behind them in the queue for the processor. What it has written it notes in the
file, so that nothing is lost when it is killed, and what it does again changes nothing: a transaction's first record of
a model wins.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from bentos.fraud.records.failures import may_pass
from bentos.fraud.records.labels import Applied
from bentos.fraud.records.spool import DamagedSpool, SpoolFile, spooled, unread_bytes
from bentos.fraud.records.values import MODEL, Values, completed

__all__ = ["Copies", "Recorder", "Tell"]

_FIRST_BACKOFF: Final = 0.5
_LONGEST_BACKOFF: Final = 10.0
_LOGGER = logging.getLogger(__name__)


class Writes(Protocol):
    """What :class:`.writing.Writer` does."""

    def write(self, rows: Sequence[Values]) -> list[Applied]:
        """Write predictions, all or none."""


class Tell(Protocol):
    """Is told what became of predictions."""

    def lost(self, model: tuple[str, str, str], count: int) -> None:
        """So many of a model, name, version and role, cannot be recorded."""

    def joined(self, labels: Sequence[Applied]) -> None:
        """These labels had waited for what was recorded."""

    def waiting(self, size: int) -> None:
        """So many bytes wait to be recorded."""


class Copies(Protocol):
    """Takes what was recorded, for a challenger in the shadow."""

    def offer(self, records: Sequence[Values]) -> None:
        """These are recorded."""

    def settle(self) -> None:
        """Record what has become of them, as far as it is known."""

    def drains(self) -> bool:
        """Whether what waits is worth waiting for; asked when the process is to end."""

    def close(self) -> None:
        """Give up what waits."""


class Recorder:
    """Reads files and writes the database. Belongs to one thread.

    Parameters
    ----------
    folder
        Of the files.
    writer
        Writes records.
    batch_rows
        Records of one transaction, about.
    tell
        Told what became of predictions.
    copies
        Given what was recorded; None gives it to nobody.
    """

    def __init__(self, folder: Path, writer: Writes, batch_rows: int, tell: Tell, copies: Copies | None = None) -> None:
        self._copies = copies
        self._folder = folder
        self._writer = writer
        self._batch_rows = batch_rows
        self._tell = tell
        self._files: dict[Path, SpoolFile] = {}
        #: Seconds to wait for a database that takes nothing, 0 when it does.
        self.backoff = 0.0

    def run(self, stopping: threading.Event, interval_seconds: float, flush_seconds: float) -> None:
        """Record until told to stop, and then what waits, for a while.

        Parameters
        ----------
        stopping
            Set to end it.
        interval_seconds
            Between two looks when there is nothing to do.
        flush_seconds
            How long it goes on at most after it was told to stop, until workers have ended and all is recorded.
        """
        while not stopping.wait(self.backoff or interval_seconds):
            self.record(stopping.is_set)
        until = time.monotonic() + flush_seconds

        def late() -> bool:
            return time.monotonic() >= until

        while not late() and (self.record(late) or self._files or (self._copies is not None and self._copies.drains())):
            time.sleep(min(interval_seconds, 0.05))
        self.close()

    def record(self, stopped: Callable[[], bool] = lambda: False) -> int:
        """Record what there is; returns how many records were taken from files.

        While the database takes nothing, this returns early, and :attr:`backoff` says how long to wait.

        Parameters
        ----------
        stopped
            Asked after each batch whether to leave the rest: workers may hand over as fast as this records.
        """
        total = 0
        while True:
            self._find()
            taken = self._once()
            if self._copies is not None:
                self._copies.settle()
            total += taken
            self._tell.waiting(sum(unread_bytes(path) or 0 for path in self._files))
            if not taken or self.backoff or stopped():
                return total

    def close(self) -> None:
        """Leave the files as they are."""
        if self._copies is not None:
            self._copies.close()
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _find(self) -> None:
        for path in spooled(self._folder):
            if path not in self._files:
                # Another recorder may have done with it meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    self._files[path] = SpoolFile(path)

    def _once(self) -> int:
        """Record one batch; how many records it had."""
        records: list[Values] = []
        done: list[SpoolFile] = []
        read: list[SpoolFile] = []
        for file in self._files.values():
            read.append(file)
            if self._take(file, records):
                done.append(file)
            if len(records) >= self._batch_rows:
                break
        if records and not self._write(records):
            for file in read:
                file.back()
            return 0
        for file in read:
            file.keep()
        for file in done:
            file.remove()
            file.close()
            del self._files[file.path]
        return len(records)

    def _take(self, file: SpoolFile, records: list[Values]) -> bool:
        """Take records of a file until there are enough; whether it has no more and never will."""
        ended = file.ended()
        try:
            while taken := file.take():
                records += completed(taken)
                if len(records) >= self._batch_rows:
                    return False
        except DamagedSpool as damage:
            # Its worker may be in the middle of it; or the machine stopped, or the disk was full, just then.
            if ended:
                _LOGGER.error(  # noqa: TRY400 - where it was raised tells nothing
                    "the end of %s cannot be read: %s", file.path.name, damage
                )
        return ended

    def _write(self, records: Sequence[Values]) -> bool:
        """Write one batch; whether the database took it."""
        lost: list[tuple[Values, Exception]] = []
        try:
            joined = self._written(records, lost)
        except SQLAlchemyError as error:
            if not self.backoff:
                _LOGGER.warning("the records database takes no predictions: %s", type(error).__name__)
            self.backoff = min(2 * self.backoff or _FIRST_BACKOFF, _LONGEST_BACKOFF)
            return False
        if lost:
            # The text holds the values, which are nobody's business.
            kinds = ", ".join(sorted({_kind(error) for _, error in lost}))
            _LOGGER.error("%d predictions cannot be recorded: %s", len(lost), kinds)
            for model, count in Counter(record[MODEL] for record, _ in lost).items():
                self._tell.lost((model[0], model[1], model[2]), count)
        if self.backoff:
            _LOGGER.info("the records database takes predictions again")
            self.backoff = 0.0
        if joined:
            self._tell.joined(joined)
        if self._copies is not None:
            self._copies.offer(records)
        return True

    def _written(self, records: Sequence[Values], lost: list[tuple[Values, Exception]]) -> list[Applied]:
        """Write what can be written: of what cannot, halves, until it stands alone."""
        try:
            return self._writer.write(records)
        except Exception as error:
            if isinstance(error, SQLAlchemyError) and may_pass(error):
                raise
            if len(records) == 1:
                lost.append((records[0], error))
                return []
        middle = len(records) // 2
        return self._written(records[:middle], lost) + self._written(records[middle:], lost)


def _kind(error: Exception) -> str:
    return type(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error).__name__
