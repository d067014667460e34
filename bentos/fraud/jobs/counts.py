"""The jobs' metrics: counted in the database when they are scraped, so right whatever process did what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bentos.core.errors import Unavailable
from bentos.fraud.jobs.ledger import Ledger

__all__ = ["JobCounts"]

_OUTCOMES: Final = {"scored": "rows_scored", "failed": "rows_failed"}


class JobCounts(Collector):
    """Jobs by state, rows ever scored. Every server of one database tells the same: take the largest, not the sum.

    Parameters
    ----------
    ledger
        Where they are counted.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterable[Metric]:
        """Both metrics; none while the database is down."""
        try:
            counts, totals = self._ledger.counts(), self._ledger.totals()
        except Unavailable:
            return
        jobs = GaugeMetricFamily("fraud_jobs", "Batch jobs in each state.", labels=["state"])
        for state, count in counts.items():
            jobs.add_metric([state], count.jobs)
        rows = CounterMetricFamily("fraud_job_rows", "Rows of batch jobs, by what became of them.", labels=["outcome"])
        for outcome, name in _OUTCOMES.items():
            rows.add_metric([outcome], totals.get(name, 0))
        yield jobs
        yield rows
