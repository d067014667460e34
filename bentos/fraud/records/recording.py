"""The process that records, put together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from bentos.fraud.metrics import RecordMetrics, declare_record_metrics, share_metrics
from bentos.fraud.processes import stand_back, stop_on_signals, stop_with_server
from bentos.fraud.records.database import Database, open_database
from bentos.fraud.records.labels import Applied
from bentos.fraud.records.office import count_labels, open_identifiers
from bentos.fraud.records.recorder import Copies, Recorder
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.spool import spool_folder, spooled
from bentos.fraud.records.writing import Writer
from bentos.fraud.settings import ScoringSettings
from bentos.fraud.shadow.desk import open_shadow

__all__ = ["open_recorder", "processes", "run"]

_COMMAND = ("records", "write", "--beside-server")
#: How long it goes on after its server has stopped.
_FLUSH_SECONDS = 5.0


class _Counts:
    """See :class:`.recorder.Tell`."""

    def __init__(self, metrics: RecordMetrics) -> None:
        self._metrics = metrics

    def lost(self, model: tuple[str, str, str], count: int) -> None:
        self._metrics.dropped(model).inc(count)

    def joined(self, labels: Sequence[Applied]) -> None:
        count_labels(self._metrics, labels)

    def waiting(self, size: int) -> None:
        self._metrics.waiting.set(size)


def processes(settings: RecordsSettings) -> list[tuple[str, ...]]:
    """Commands of the processes that a server has beside it for records."""
    # What a server with other settings left is recorded all the same.
    needed = settings.prediction_log != "none" or spooled(spool_folder(settings.home))
    return [_COMMAND] if needed else []


def open_recorder(
    settings: RecordsSettings, database: Database, metrics: RecordMetrics, copies: Copies | None = None
) -> Recorder:
    """What records the predictions of a server's workers.

    Parameters
    ----------
    settings
        Of the records.
    database
        Of the records; closed by its owner.
    metrics
        What is counted, by the thread that records.
    copies
        Given what was recorded; closed with this.
    """
    writer = Writer(database, open_identifiers(settings))
    return Recorder(spool_folder(settings.home), writer, settings.prediction_log_batch_rows, _Counts(metrics), copies)


def run(settings: ScoringSettings, *, beside_server: bool) -> None:
    """Be the process that records, until told to stop.

    Parameters
    ----------
    settings
        Of the service.
    beside_server
        Whether a server started it, through whose pipe it learns that the server ended.
    """
    stopping = threading.Event()
    stand_back(settings.prediction_log_nice)
    stop_on_signals(stopping.set)
    if beside_server:
        stop_with_server(stopping.set)
    if settings.metrics_folder is not None:
        share_metrics(settings.metrics_folder)
    registry = CollectorRegistry()
    metrics = declare_record_metrics(registry)
    with contextlib.closing(open_database(settings)) as database:
        recorder = open_recorder(settings, database, metrics, open_shadow(settings, database, registry))
        recorder.run(stopping, settings.prediction_log_interval_milliseconds / 1000, _FLUSH_SECONDS)
