"""The prediction log of one worker: what was predicted is handed to the process that records it, off the hot path.

The event loop makes records of what it has answered, some at a time, and a thread appends them to a file
(:mod:`.spool`) behind which :mod:`.recorder` reads. The thread only writes bytes: one that made records, or spoke to a
database, would hold the interpreter's lock, and keep the event loop waiting for as long as other processes keep the
thread from its processor. What finds memory or its share of the disk full is dropped and counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from bentos.fraud.observe.later import Later
from bentos.fraud.records.encoding import Batch, Encoder
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.spool import SpoolWriter, framed, spool_folder
from bentos.fraud.records.values import Values
from bentos.fraud.rows import Row

__all__ = ["PredictionLog"]

#: Predictions in memory at most, while the disk takes none; one takes some 0.3 kB.
_BUFFER_ROWS: Final = 20_000
#: How long the process that records may take over what waits without getting on.
_STALLED_SECONDS: Final = 30.0
_MEGABYTE: Final = 1 << 20
_LOGGER = logging.getLogger(__name__)


class PredictionLog:
    """Takes predictions from one event loop.

    Parameters
    ----------
    encoder
        Makes records.
    settings
        Sizes, and the folder.
    later
        Makes calls when answers have left.
    on_dropped
        Told how many predictions were dropped; in the event loop.
    """

    def __init__(
        self, encoder: Encoder, settings: RecordsSettings, later: Later, on_dropped: Callable[[int], None]
    ) -> None:
        self._encoder = encoder
        self._later = later
        self._on_dropped = on_dropped
        self._flagged_only = settings.prediction_log == "flagged"
        self._interval = settings.prediction_log_interval_milliseconds / 1000
        self._limit = settings.prediction_log_buffer_megabytes * _MEGABYTE
        self._spool = SpoolWriter(spool_folder(settings.home))
        #: What was answered in the last moment.
        self._answered: list[Batch] = []
        #: Frames, with how many predictions are in each.
        self._frames: deque[tuple[bytes, int]] = deque()
        # Each is written by one thread only.
        self._framed = 0
        self._taken = 0
        self._trouble: str | None = None
        self._full = False
        self._recorded = 0
        self._moved = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    @property
    def waiting(self) -> int:
        """Predictions that are in memory only."""
        return self._framed - self._taken

    @property
    def trouble(self) -> str | None:
        """What is wrong, None when nothing is."""
        return self._trouble

    def start(self) -> None:
        """Begin to hand over."""
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
        if self._full or self._framed - self._taken >= _BUFFER_ROWS:
            self._on_dropped(len(rows))
            return
        self._answered.append((time.time_ns() // 1000, rows, answers))
        if len(self._answered) == 1:
            self._later.add(self._frame)

    def close(self, timeout_seconds: float) -> int:
        """Hand over what waits, for a while; returns how many were lost.

        What was answered last is handed over when :class:`.Later` has made its calls.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        return self.waiting

    def _frame(self) -> None:
        batches, self._answered = self._answered, []
        records: list[Values] = []
        for batch in batches:
            try:
                records += self._encoder.encode(batch)
            except Exception:
                # Whatever it is, the others are recorded.
                _LOGGER.exception("%d predictions cannot be made records of", len(batch[1]))
                self._on_dropped(len(batch[1]))
        if not records:
            return
        try:
            self._frames.append((framed(records), len(records)))
        except ValueError:
            _LOGGER.exception("%d predictions cannot be handed over", len(records))
            self._on_dropped(len(records))
            return
        self._framed += len(records)

    def _run(self) -> None:
        last = False
        while not last:
            last = self._stopping.wait(self._interval)
            try:
                self._hand_over()
                self._spool.turn()
                self._look()
            except OSError as error:
                # A disk that is full, as a rule; what does not fit into memory meanwhile is dropped.
                self._tell(f"predictions cannot be written to disk: {error.strerror}")
        self._spool.close()

    def _hand_over(self) -> None:
        while self._frames:
            frame, rows = self._frames[0]
            self._spool.append(frame)
            self._frames.popleft()
            self._taken += rows

    def _look(self) -> None:
        """See how far the process that records has come."""
        unread, now = self._spool.waiting(), time.monotonic()
        recorded = self._spool.appended - unread
        if recorded > self._recorded or not unread:
            self._moved = now
        self._recorded = recorded
        self._full = unread >= self._limit
        if self._full:
            self._tell("predictions are dropped: too many wait to be recorded")
        elif now - self._moved > _STALLED_SECONDS:
            self._tell("predictions wait to be recorded, and the process that does it does not get on")
        elif self._trouble is not None:
            self._trouble = None
            _LOGGER.info("predictions can be recorded again")

    def _tell(self, trouble: str) -> None:
        if self._trouble != trouble:
            _LOGGER.warning("%s", trouble)
        self._trouble = trouble
