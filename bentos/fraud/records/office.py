"""The records of one worker, put together: what the service's calls and commands ask."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from bentos.core.answers import ModelVersion
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.fraud.metrics import Metrics, RecordMetrics
from bentos.fraud.records.chores import Chores
from bentos.fraud.records.database import Database
from bentos.fraud.records.encoding import Encoder
from bentos.fraud.records.feedback import FeedbackDesk
from bentos.fraud.records.identifiers import Identifiers
from bentos.fraud.records.labels import Applied, GivenLabel
from bentos.fraud.records.log import PredictionLog
from bentos.fraud.records.outbox import Outbox
from bentos.fraud.records.pair_quality import PairCollector
from bentos.fraud.records.quality import QualityCollector
from bentos.fraud.records.queries import Queries
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.store import FeatureStore

__all__ = ["Records", "count_labels", "open_identifiers"]

ItemT = TypeVar("ItemT")

#: How long a worker that stops waits for the last predictions to be handed over.
_FLUSH_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 5.0
_LOGGER = logging.getLogger(__name__)


class Records:
    """What belongs to the records of one worker. Belongs to one event loop.

    Nothing runs, nor is the database asked, before it is started.

    Parameters
    ----------
    settings
        Of the records.
    database
        Of the records; closed by its owner.
    store
        That labels are told to.
    metrics
        What is counted.
    model, role
        Of the worker.
    """

    def __init__(
        self,
        settings: RecordsSettings,
        database: Database,
        store: FeatureStore,
        metrics: Metrics,
        model: ModelVersion,
        role: str,
    ) -> None:
        identifiers = open_identifiers(settings)
        self.settings = settings
        self.database = database
        #: Precision and recall, for scrapes.
        self.quality = QualityCollector(lambda: self.chores.quality)
        #: Labelled pairs of a rollout, likewise.
        self.pairs = PairCollector(lambda: self.chores.pairs)
        #: Questions about the records.
        self.queries = Queries(database, identifiers)
        self._metrics = metrics
        self._loop: asyncio.AbstractEventLoop | None = None
        self._desk = FeedbackDesk(database, identifiers, settings.records_timeout_seconds)
        joined = partial(self._in_loop, self._count)
        #: What is done beside requests.
        self.chores = Chores(database, Outbox(database, store), identifiers, settings, joined)
        #: Takes predictions; None when none are kept.
        self.log: PredictionLog | None = None
        if settings.prediction_log != "none":
            encoder = Encoder(identifiers, model, role)
            self.log = PredictionLog(encoder, settings, metrics.later, metrics.log_dropped.inc)

    @property
    def trouble(self) -> str | None:
        """What is wrong with the records, None when nothing is."""
        return self.chores.trouble or (self.log.trouble if self.log is not None else None)

    def start(self) -> None:
        """Begin what runs beside requests; to be called in the event loop."""
        self._loop = asyncio.get_running_loop()
        if self.log is not None:
            self.log.start()
        self.chores.start()

    async def feedback(self, labels: Sequence[GivenLabel]) -> list[Applied]:
        """Apply labels in order; they are on disk when this returns.

        Raises
        ------
        Overloaded, Unavailable
            Nothing is said about these labels then; they are to be sent again.
        """
        applied = await self._desk.submit(labels)
        self._count(applied)
        if any(one.counts is not None for one in applied):
            self.chores.wake()
        return applied

    async def close(self) -> None:
        """Write what waits, and end what runs."""
        self._metrics.later.run()
        # At once: with a database that does not answer, each takes all of its time.
        lost, *_ = await asyncio.gather(
            asyncio.to_thread(self._flush),
            asyncio.to_thread(self._desk.close),
            asyncio.to_thread(self.chores.stop, _STOP_SECONDS),
        )
        if lost:
            _LOGGER.warning("%d predictions could not be handed over before the end", lost)
            self._metrics.log_dropped.inc(lost)

    def _flush(self) -> int:
        return 0 if self.log is None else self.log.close(_FLUSH_SECONDS)

    def _count(self, applied: Sequence[Applied]) -> None:
        count_labels(self._metrics.records, applied)

    def _in_loop(self, work: Callable[[ItemT], None], item: ItemT) -> None:
        # Counters belong to the event loop's thread.
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(work, item)


def count_labels(metrics: RecordMetrics, applied: Sequence[Applied]) -> None:
    """Count labels that are new or changed and whose predictions are known."""
    for one in applied:
        if one.counts is not None:
            decision, *model = one.counts
            metrics.count_label(one.outcome.label, decision, (model[0], model[1], model[2]))


def open_identifiers(settings: RecordsSettings) -> Identifiers:
    """How records name customers and merchants."""
    return Identifiers(Pseudonyms(settings.pseudonym_key.get_secret_value()), settings.hash_identifiers)
