"""Sends what must not be lost, labels and batch jobs, and looks afterwards whether it is all there."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy import select

from bentos.core.jobs import ENDED
from bentos.core.settings import load_settings
from bentos.fraud.jobs.ledger import Ledger
from bentos.fraud.records.database import open_database
from bentos.fraud.records.tables import LABELS
from bentos.fraud.settings import ScoringSettings
from tests.fraud.jobs.payments import payments_csv
from tests.fraud.requests import transaction_json

__all__ = ["keeping"]

JOB_ROWS: Final = 200
#: Between two labels; a job comes with every fiftieth of them.
PAUSE_SECONDS: Final = 0.05
JOB_EVERY: Final = 50
#: How long everything may take to be well again, and accepted jobs to end.
PATIENCE_SECONDS: Final = 300.0


class _Sender:
    """Sends calls until each is acknowledged, as a client does that must not lose them."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=5)
        self.refused: Counter[str] = Counter()

    def acknowledged(self, path: str, **options: Any) -> Any:
        """The body of the first answer that is no refusal."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            try:
                answer = self._http.post(path, **options)
            except httpx.TransportError as error:
                self.refused[type(error).__name__] += 1
            else:
                if answer.is_success:
                    return answer.json()
                self.refused[str(answer.status_code)] += 1
            time.sleep(PAUSE_SECONDS)
        raise TimeoutError(f"{path} has not been acknowledged for {PATIENCE_SECONDS:.0f} s: {self.refused}")

    def is_well(self) -> bool:
        """Whether nothing is lacking."""
        with contextlib.suppress(httpx.TransportError):
            return bool(self._http.get("/health").json()["status"] == "ok")
        return False


def keeping(url: str, until: str) -> dict[str, Any]:
    """Labels and jobs until a file is there; how many were acknowledged, and how many of those are lost.

    The database is that of ``FRAUD_RECORDS_URL``.
    """
    sender = _Sender(url)
    labels: list[str] = []
    jobs: list[str] = []
    run = f"{time.time():.0f}"
    for number in itertools.count():
        if Path(until).exists():
            break
        name = f"kept-{run}-{number}"
        sender.acknowledged("/predict?explain=none", json=transaction_json(transaction_id=name))
        sender.acknowledged("/feedback", json={"transaction_id": name, "label": "legitimate"})
        labels.append(name)
        if number % JOB_EVERY == 0:
            headers = {"content-type": "text/csv", "idempotency-key": name}
            job = sender.acknowledged("/predict_batch", content=payments_csv(JOB_ROWS, name=name), headers=headers)
            jobs.append(job["job_id"])
        time.sleep(PAUSE_SECONDS)
    return {**_lost(sender, labels, jobs), "refused": dict(sender.refused)}


def _lost(sender: _Sender, labels: list[str], jobs: list[str]) -> dict[str, int]:
    end = time.monotonic() + PATIENCE_SECONDS
    _await(sender.is_well, end)
    with contextlib.closing(open_database(load_settings(ScoringSettings))) as database:
        ledger = Ledger(database)
        _await(lambda: all(ledger.job(job).status in ENDED for job in jobs), end)
        with database.read() as connection:
            known = set(connection.execute(select(LABELS.c.transaction_id)).scalars())
        done = [ledger.job(job) for job in jobs]
    complete = [job for job in done if (job.status, job.rows_done, job.rows_failed) == ("completed", JOB_ROWS, 0)]
    return {
        "labels": len(labels),
        "lost_labels": len(set(labels) - known),
        "jobs": len(jobs),
        "lost_jobs": len(done) - len(complete),
    }


def _await(holds: Any, end: float) -> None:
    while not holds() and time.monotonic() < end:
        time.sleep(0.5)
