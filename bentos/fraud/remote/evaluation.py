"""A batch whose model step is another server's: awaited, within each caller's deadline, and never trusted blindly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from time import monotonic, perf_counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import Unavailable
from bentos.fraud.batching import Job
from bentos.fraud.block_review import BlockReview
from bentos.fraud.evaluation import Evaluator, FeatureBlock, Work
from bentos.fraud.metrics import Metrics
from bentos.fraud.records.log import PredictionLog
from bentos.fraud.remote.model import RemoteModel
from bentos.fraud.rows import Row
from bentos.fraud.scorer import FloatArray, Scorer
from bentos.fraud.store import FeatureStore
from bentos.fraud.tally import Tally

__all__ = ["RemoteEvaluator"]

#: Of a caller's deadline, what is kept to answer by the rules, seconds.
_SPARE_SECONDS: Final = 0.002


class RemoteEvaluator(Evaluator):
    """Does the jobs of a batch together, as :class:`Evaluator`, with scores from another server.

    Parameters
    ----------
    remote
        The model.
    scorer
        Thresholds, reasons and rules; does not score.
    store, metrics, log, block_review
        See :class:`Evaluator`.
    """

    def __init__(
        self,
        remote: RemoteModel,
        scorer: Scorer,
        store: FeatureStore,
        metrics: Metrics,
        log: PredictionLog | None = None,
        block_review: BlockReview | None = None,
    ) -> None:
        super().__init__(scorer, store, metrics, log, block_review)
        self._remote = remote

    @property
    def trouble(self) -> str | None:
        """What is wrong with the model, if anything."""
        return self._remote.trouble

    async def run(self, jobs: list[Job[Work]]) -> None:
        """Finish every job. Who cannot wait as long as the server may take is asked about apart from the others."""
        until = monotonic() + self._remote.timeout_seconds + _SPARE_SECONDS
        hurried = [job for job in jobs if job.deadline < until]
        if not hurried or len(hurried) == len(jobs):
            await super().run(jobs)
        else:
            patient = [job for job in jobs if job.deadline >= until]
            await asyncio.gather(super().run(hurried), super().run(patient))

    def _score(
        self, rows: list[Row], values: FloatArray, given: list[tuple[Job[Work], FeatureBlock]], tally: Tally
    ) -> Awaitable[None]:
        return self._score_there(rows, values, given, tally)

    async def _score_there(
        self, rows: list[Row], values: FloatArray, given: list[tuple[Job[Work], FeatureBlock]], tally: Tally
    ) -> None:
        started = perf_counter()
        matrix = np.concatenate([values, *(block.rows for _, block in given)]) if given else values
        deadline = min([*(row.deadline for row in rows), *(job.deadline for job, _ in given)])
        timeout = min(self._remote.timeout_seconds, deadline - monotonic() - _SPARE_SECONDS)
        try:
            raw, score, good = await self._remote.score(matrix, timeout)
        except Unavailable:
            self._without_model(rows, given)
            return
        if not good.all():
            rows, given = self._without_bad(rows, given, good)
            raw, score = raw[good], score[good]
        self._scored(rows, given, raw, score, started, tally)

    def _without_bad(
        self, rows: list[Row], given: list[tuple[Job[Work], FeatureBlock]], good: NDArray[np.bool_]
    ) -> tuple[list[Row], list[tuple[Job[Work], FeatureBlock]]]:
        """Answer rows that have no score without the model; a block is lost by one of its rows, and marked so."""
        well: list[tuple[Job[Work], FeatureBlock]] = []
        ill: list[tuple[Job[Work], FeatureBlock]] = []
        start = len(rows)
        for job, block in given:
            own = good[start : start + job.size]
            (well if own.all() else ill).append((job, block))
            own &= own.all()
            start += job.size
        self._without_model([row for row, one in zip(rows, good, strict=False) if not one], ill)
        return [row for row, one in zip(rows, good, strict=False) if one], well
