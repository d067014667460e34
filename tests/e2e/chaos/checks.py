"""What must hold when everything is back: compares what was acknowledged with what is there."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import httpx
from sqlalchemy import func, select

from bentos.core.jobs import ENDED
from bentos.fraud.jobs.ledger import Ledger
from bentos.fraud.records.database import open_database
from bentos.fraud.records.tables import LABEL_HISTORY, LABELS
from tests.e2e.chaos.load import Story
from tests.e2e.chaos.worlds import World, require
from tests.fraud.jobs.payments import result_column
from tests.fraud.requests import transaction_json

__all__ = ["Verdict", "check", "settle"]

DAY_COUNT = "customer_transactions_1d"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Numbers of a story's end.

    Parameters
    ----------
    sent, recorded, degraded
        Payments tried, answered with features, answered without.
    kept
        How many of them the features count.
    labels, jobs, rows
        Acknowledged, and all there once.
    """

    sent: int
    recorded: int
    degraded: int
    kept: int
    labels: int
    jobs: int
    rows: int


def settle(world: World, story: Story) -> None:
    """Wait until nothing is failing and every accepted job has ended."""
    require(lambda: _healthy(world.server.url), "all is well")
    with contextlib.closing(open_database(world.settings)) as database:
        ledger = Ledger(database)
        for job_id in story.jobs:
            require(lambda job_id=job_id: ledger.job(job_id).status in ENDED, f"job {job_id} has ended")  # type: ignore[misc]


def check(world: World, story: Story) -> Verdict:
    """Check everything.

    Raises
    ------
    AssertionError
        When anything acknowledged is lost, or anything is there twice.
    """
    assert not story.failures, story.failures
    assert story.undocumented() == {}
    kept = sum(_require_payments(world.server.url, story, customer) for customer in sorted(story.sent))
    with contextlib.closing(open_database(world.settings)) as database:
        with database.read() as connection:
            known = set(connection.execute(select(LABELS.c.transaction_id)).scalars())
            twice = connection.execute(
                select(func.count()).select_from(LABEL_HISTORY).where(LABEL_HISTORY.c.revision > 1)
            ).scalar_one()
        assert story.labels <= known, f"lost labels: {sorted(story.labels - known)[:10]}"
        assert twice == 0, f"{twice} labels are there twice"
        rows = _require_jobs(world.server.url, story, Ledger(database))
    answered = story.recorded.total(), story.degraded.total()
    return Verdict(story.sent.total(), *answered, kept, len(story.labels), len(story.jobs), rows)


def _require_payments(url: str, story: Story, customer: str) -> int:
    """Every recorded payment counts once; of those answered without features, or cut off, each at most once."""
    kept = _counted(url, customer)
    assert story.recorded[customer] <= kept <= story.sent[customer], (
        f"{customer}: {story.recorded[customer]} recorded of {story.sent[customer]} sent, {kept} count"
    )
    return kept


def _counted(url: str, customer: str) -> int:
    """Payments of a customer's last day in the features, without the one that asks."""
    found: list[int] = []

    def looked_up() -> bool:
        body, headers = transaction_json(customer_id=customer), {"x-fraud-deadline-ms": "60000"}
        answer = httpx.post(f"{url}/explain", json=body, headers=headers, timeout=60)
        # Each worker finds out for itself that the store is back.
        if not answer.is_success or answer.json()["degraded"]:
            return False
        found.append(int(answer.json()["features"][DAY_COUNT]) - 1)
        return True

    require(looked_up, f"the features of {customer} are looked up")
    return found[-1]


def _require_jobs(url: str, story: Story, ledger: Ledger) -> int:
    """Every accepted job is complete with each row once, and no key has become two jobs."""
    jobs = {job.job_id: job for job in ledger.jobs(None, 10_000)}
    assert story.jobs.keys() <= jobs.keys()
    assert len(jobs) <= story.keys
    for job_id, rows in story.jobs.items():
        job = jobs[job_id]
        assert (job.status, job.rows_done, job.rows_total) == ("completed", rows, rows), job
        content = httpx.get(f"{url}/job_result/{job_id}?format=csv", timeout=60).raise_for_status().content
        names = [str(name).partition("-")[2] for name in result_column(iter([content]), "transaction_id")]
        assert names == [str(number) for number in range(rows)], job_id
    done = sum(job.rows_done for job in jobs.values())
    totals = ledger.totals()
    assert totals["rows_scored"] + totals["rows_failed"] == done
    return done


def _healthy(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/health", timeout=60).json()["status"] == "ok")
    except httpx.TransportError:
        return False
