"""The process that records, as a thread of the test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from bentos.fraud.application import Application
from bentos.fraud.records.database import open_database
from bentos.fraud.records.recording import open_recorder

__all__ = ["recorded"]


@contextlib.contextmanager
def recorded(application: Application, flush_seconds: float = 10.0) -> Iterator[None]:
    """What the process beside a server does, in a thread."""
    stopping = threading.Event()
    with contextlib.closing(open_database(application.settings)) as database:
        recorder = open_recorder(application.settings, database, application.predictor.metrics.records)
        thread = threading.Thread(target=recorder.run, args=(stopping, 0.01, flush_seconds))
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()
