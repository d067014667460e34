"""The prediction log: what was predicted waits in memory, and a thread writes it, off the hot path.

The event loop appends one tuple per call. The thread makes records of it in small slices, so that the interpreter's
lock is never held for long, and rests as long as its share of the processor asks. What finds the buffer full is dropped
and counted; while the database is down, the buffer keeps what it had room for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from bentos.fraud.records.encoding import Batch, Encoder, Values
from bentos.fraud.records.failures import may_pass
from bentos.fraud.records.labels import Applied
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.writing import Writer
from bentos.fraud.rows import Row

__all__ = ["PredictionLog"]

#: Records that are made without a pause, some 0.5 ms: the event loop may have to wait for so long.
_SLICE: Final = 48
_FIRST_BACKOFF: Final = 0.5
_LONGEST_BACKOFF: Final = 10.0
_LOGGER = logging.getLogger(__name__)


class PredictionLog:
    """Takes predictions from one event loop.

    Parameters
    ----------
    encoder, writer
        Make records, and write them; used in the log's thread.
    settings
        Sizes.
    on_dropped
        Told how many predictions were dropped; in the event loop.
    on_lost
        Told how many could not be written; in the log's thread.
    on_joined
        Told of labels that had waited for what was written; in the log's thread.
    """

    def __init__(
        self,
        encoder: Encoder,
        writer: Writer,
        settings: RecordsSettings,
        on_dropped: Callable[[int], None],
        on_lost: Callable[[int], None],
        on_joined: Callable[[list[Applied]], None],
    ) -> None:
        self._encoder = encoder
        self._writer = writer
        self._settings = settings
        self._on_dropped = on_dropped
        self._on_lost = on_lost
        self._on_joined = on_joined
        self._flagged_only = settings.prediction_log == "flagged"
        self._limit = settings.prediction_log_buffer_rows
        self._buffer: deque[Batch] = deque()
        # Each is written by one thread only.
        self._offered = 0
        self._taken = 0
        self._backoff = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    @property
    def waiting(self) -> int:
        """Predictions that are in memory only."""
        return self._offered - self._taken

    @property
    def state(self) -> Literal["ok", "failing"]:
        """Whether the last batch could be written."""
        return "failing" if self._backoff else "ok"

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def offer(self, rows: Sequence[Row], answers: Sequence[object]) -> None:
        """Take the rows of one call, all of which are to be recorded or none, and their answers."""
        if not rows[0].ask.record:
            return
        if self._flagged_only:
            chosen = [pair for pair in zip(rows, answers, strict=True) if pair[0].decision != "approve"]
            if not chosen:
                return
            rows, answers = [row for row, _ in chosen], [answer for _, answer in chosen]
        if self._offered - self._taken >= self._limit:
            self._on_dropped(len(rows))
            return
        self._offered += len(rows)
        self._buffer.append((time.time_ns() // 1000, rows, answers))

    def close(self, timeout_seconds: float) -> int:
        """Write what waits, for a while; returns how many were lost."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        return self.waiting

    def _run(self) -> None:
        interval = self._settings.prediction_log_interval_milliseconds / 1000
        while True:
            last = self._stopping.wait(self._backoff or interval)
            while self._buffer:
                started, used = time.monotonic(), time.thread_time()
                if not self._write():
                    break
                if not last:
                    self._rest(time.thread_time() - used, time.monotonic() - started)
            if last:
                return

    def _rest(self, used: float, elapsed: float) -> None:
        self._stopping.wait(max(used / self._settings.prediction_log_share - elapsed, 0.0))

    def _write(self) -> bool:
        """Write one batch; whether the database took it."""
        values, batches, rows = self._encoded()
        lost: list[Exception] = []
        try:
            joined = self._written(values, lost)
        except SQLAlchemyError as error:
            if not self._backoff:
                _LOGGER.warning("the records database takes no predictions: %s", type(error).__name__)
            self._backoff = min(2 * self._backoff or _FIRST_BACKOFF, _LONGEST_BACKOFF)
            return False
        if lost:
            # The text holds the values, which are nobody's business.
            kinds = ", ".join(sorted({_kind(error) for error in lost}))
            _LOGGER.error("%d predictions cannot be recorded: %s", len(lost), kinds)
            self._on_lost(len(lost))
        if self._backoff:
            _LOGGER.info("the records database takes predictions again")
            self._backoff = 0.0
        for _ in range(batches):
            self._buffer.popleft()
        self._taken += rows
        if joined:
            self._on_joined(joined)
        return True

    def _written(self, values: Sequence[Values], lost: list[Exception]) -> list[Applied]:
        """Write what can be written: of what cannot, halves, until it stands alone."""
        if not values:
            return []
        try:
            return self._writer.write(values)
        except Exception as error:
            if isinstance(error, SQLAlchemyError) and may_pass(error):
                raise
            if len(values) == 1:
                lost.append(error)
                return []
        middle = len(values) // 2
        return self._written(values[:middle], lost) + self._written(values[middle:], lost)

    def _encoded(self) -> tuple[list[Values], int, int]:
        """The oldest predictions, with how many batches and rows of the buffer they are; these stay there."""
        values: list[Values] = []
        batches = rows = in_slice = 0
        while batches < len(self._buffer) and rows < self._settings.prediction_log_batch_rows:
            batch = self._buffer[batches]
            try:
                values += self._encoder.encode(batch)
            except Exception:
                # Whatever it is, the thread has to live on, and not to meet it again.
                _LOGGER.exception("%d predictions cannot be made records of", len(batch[1]))
                self._on_lost(len(batch[1]))
                self._taken += len(batch[1])
                batch = self._buffer[batches] = (batch[0], (), ())
            batches += 1
            rows += len(batch[1])
            in_slice += len(batch[1])
            if in_slice >= _SLICE:
                in_slice = 0
                time.sleep(0)
        return values, batches, rows


def _kind(error: Exception) -> str:
    return type(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error).__name__
