"""What a batch has to report."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from bentos.core.answers import Decision
from bentos.fraud.metrics import Metrics
from bentos.fraud.observe.tracing import RequestTrace
from bentos.fraud.rows import Row

__all__ = ["Tally"]


class Tally:
    """Collects while a batch runs; is counted when its answers are on their way, for counting takes as long as scoring.

    Parameters
    ----------
    metrics
        Where it is counted.
    """

    __slots__ = ("_answered", "_metrics", "_predictions", "_stages", "defaulted", "found", "late")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._stages: list[tuple[str, float, int]] = []
        self._predictions: list[tuple[Decision, float | None, bool]] = []
        self._answered: list[list[Row]] = []
        self.found = 0
        self.defaulted = 0
        self.late = 0

    def stage(self, name: str, started: float, traces: Sequence[RequestTrace | None], rows: int | None = None) -> float:
        """Note a stage that ends now; every row waited for all of it.

        Parameters
        ----------
        name
            One of ``STAGES``.
        started
            ``time.perf_counter()`` seconds.
        traces
            Of the rows' requests.
        rows
            How many; as many as there are traces unless said.

        Returns
        -------
        Seconds that it took.
        """
        ended = perf_counter()
        size = len(traces) if rows is None else rows
        # Rows of one request share its trace.
        for trace in set(traces):
            if trace is not None:
                trace.stage(name, started, ended, size)
        self._stages.append((name, ended - started, size))
        return ended - started

    def prediction(self, decision: Decision, score: float | None, *, degraded: bool) -> None:
        """A prediction was made; its score is None when it is not the model's, whose distribution it would spoil."""
        self._predictions.append((decision, score, degraded))

    def answered(self, rows: list[Row]) -> None:
        """Predictions have their answers."""
        self._answered.append(rows)

    def count(self) -> None:
        """Count everything."""
        metrics = self._metrics
        if metrics.drift is not None:
            for answered in self._answered:
                metrics.drift.add(answered)
        for name, seconds, rows in self._stages:
            metrics.stage_latency[name].observe(seconds, rows)
        for decision, score, degraded in self._predictions:
            metrics.predictions[decision].inc()
            if score is not None:
                metrics.score.observe(score)
            if degraded:
                metrics.degraded.inc()
        for number, counter in (
            (self.found, metrics.feature_lookups[True]),
            (self.defaulted, metrics.feature_lookups[False]),
            (self.late, metrics.reasons_late),
        ):
            if number:
                counter.inc(number)
