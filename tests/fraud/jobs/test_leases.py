"""Each change of a job's state is one conditional UPDATE: whoever comes late changes nothing."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from bentos.core.errors import Conflict, InvalidInput, NotFound
from bentos.fraud.jobs import claims
from bentos.fraud.jobs import leases as leases_module
from bentos.fraud.jobs import sweep as sweep_module
from bentos.fraud.jobs.leases import Leases
from bentos.fraud.jobs.ledger import Ledger
from bentos.fraud.jobs.model import Submission, Work, new_job_id, now
from bentos.fraud.jobs.sweep import Sweep
from bentos.fraud.records.database import Database
from tests.fraud.jobs.conftest import SHORT_SECONDS, SMALL_BYTES

LARGE = SMALL_BYTES + 1


def submission(**changes: object) -> Submission:
    """A job to be, uploaded as CSV."""
    first = Submission(new_job_id(), "", "csv", "none", "parquet", None, "f", "", 10)
    return replace(first, **changes)  # type: ignore[arg-type]


def create(ledger: Ledger, **changes: object) -> str:
    """Write a job down; its name."""
    return ledger.create(submission(**changes))[0].job_id


def claim(leases: Leases, job_id: str) -> Work:
    """Claim a step that nobody holds."""
    work = leases.claim(job_id)
    assert work is not None
    return work


def planned(ledger: Ledger, leases: Leases, chunks: int) -> str:
    """A job whose input was read."""
    job_id = create(ledger)
    assert leases.planned(claim(leases, job_id), 10 * chunks, chunks, 10)
    return job_id


def test_a_job_from_first_to_last(ledger: Ledger, leases: Leases) -> None:
    job_id = create(ledger, stored_bytes=LARGE)
    assert ledger.job(job_id).status == "pending"
    (plan,) = leases.claim_next()
    assert (plan.job.phase, plan.chunk, ledger.job(job_id).status) == ("plan", None, "running")
    assert leases.planned(plan, 25, 2, 10)
    assert ledger.job(job_id).rows_total == 25
    first, second = claim(leases, job_id), claim(leases, job_id)
    assert [first.chunk, second.chunk] == [0, 1]
    assert leases.claim(job_id) is None
    assert leases.scored(second, 5, 1)
    halfway = ledger.job(job_id)
    assert (halfway.rows_done, halfway.rows_failed, halfway.status) == (5, 1, "running")
    assert 20 < halfway.progress < 95
    assert leases.scored(first, 20, 0)
    finish = claim(leases, job_id)
    assert finish.job.phase == "finish"
    assert leases.completed(finish, 7)
    ended = ledger.job(job_id)
    assert (ended.status, ended.progress, ended.rows_done, ended.rows_failed) == ("completed", 100, 25, 1)
    assert ledger.totals() == {"rows_scored": 24, "rows_failed": 1}
    assert ledger.counts()["completed"].stored_bytes == 7
    assert leases.claim_next() == []


def test_what_is_reported_twice_counts_once(ledger: Ledger, leases: Leases) -> None:
    job_id = planned(ledger, leases, 2)
    work = claim(leases, job_id)
    assert leases.scored(work, 10, 0)
    assert not leases.scored(work, 10, 0)
    assert ledger.job(job_id).rows_done == 10
    assert ledger.totals()["rows_scored"] == 10


def test_a_step_whose_worker_is_gone_goes_to_another(ledger: Ledger, leases: Leases) -> None:
    job_id = planned(ledger, leases, 1)
    gone = claim(leases, job_id)
    assert leases.claim(job_id) is None
    time.sleep(1.5 * SHORT_SECONDS)
    heir = claim(leases, job_id)
    assert heir.chunk == gone.chunk
    assert heir.attempts == gone.attempts + 1
    # It was not gone after all, but too late.
    assert not leases.scored(gone, 10, 0)
    assert leases.extend([gone, heir], {}) == {f"{gone.token}:{job_id}"}
    assert leases.scored(heir, 10, 0)
    assert ledger.job(job_id).rows_done == 10


def test_signs_of_life_keep_a_lease(ledger: Ledger, leases: Leases) -> None:
    job_id = create(ledger)
    work = claim(leases, job_id)
    for _ in range(4):
        time.sleep(SHORT_SECONDS / 2)
        assert leases.extend([work], {job_id: 12.0}) == set()
    assert leases.claim(job_id) is None
    assert ledger.job(job_id).progress == 12
    leases.extend([work], {job_id: 3.0})
    assert ledger.job(job_id).progress == 12


def test_a_cancelled_job_takes_no_report(ledger: Ledger, leases: Leases) -> None:
    job_id = planned(ledger, leases, 2)
    work = claim(leases, job_id)
    assert ledger.cancel(job_id).status == "cancelled"
    assert ledger.cancel(job_id).status == "cancelled"
    assert leases.extend([work], {}) == {f"{work.token}:{job_id}"}
    assert not leases.scored(work, 10, 0)
    assert leases.claim(job_id) is None
    assert ledger.job(job_id).rows_done == 0
    assert ledger.totals()["rows_scored"] == 0


def test_an_ended_job_cannot_be_cancelled(ledger: Ledger, leases: Leases) -> None:
    completed, failed = create(ledger), create(ledger)
    leases.completed(claim(leases, completed), 1, (1, 0))
    leases.failed(claim(leases, failed), "file: is\0 empty" + "!" * 5000)
    for job_id, state in ((completed, "completed"), (failed, "failed")):
        with pytest.raises(Conflict, match=f"is {state} already"):
            ledger.cancel(job_id)
    error = ledger.job(failed).error or ""
    assert error.startswith("file: is\N{REPLACEMENT CHARACTER} empty!")
    assert len(error) <= 2000


@pytest.mark.parametrize("job_id", ["", "x", "g" * 32, "0" * 32, "0" * 31 + "'", "\0" * 32])
def test_unknown_jobs(ledger: Ledger, job_id: str) -> None:
    for call in (ledger.job, ledger.cancel, ledger.stored):
        with pytest.raises(NotFound):
            call(job_id)


def test_a_key_is_one_job(ledger: Ledger) -> None:
    first, is_new = ledger.create(submission(idempotency_key="k"))
    again, is_new_again = ledger.create(submission(idempotency_key="k"))
    assert (is_new, is_new_again) == (True, False)
    assert again.job_id == first.job_id
    with pytest.raises(InvalidInput, match="idempotency-key"):
        ledger.create(submission(idempotency_key="k", fingerprint="other"))
    assert ledger.counts()["pending"].jobs == 1


def test_a_key_is_one_job_for_requests_at_once(ledger: Ledger) -> None:
    found: list[str] = []
    together = threading.Barrier(8)

    def create_one() -> None:
        together.wait()
        found.append(create(ledger, idempotency_key="k"))

    threads = [threading.Thread(target=create_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_turns_go_round(ledger: Ledger, leases: Leases) -> None:
    """A large job gets a step, then everything that came before its next turn; no one waits for ever."""
    large = planned(ledger, leases, 3)
    others = [create(ledger, stored_bytes=LARGE) for _ in range(3)]
    turns = []
    for _ in range(6):
        (work,) = leases.claim_next()
        turns.append(work.job.job_id)
        if work.job.phase == "plan":
            leases.completed(work, 1, (1, 0))
        else:
            leases.scored(work, 10, 0)
    assert turns == [large, *others, large, large]


def test_small_jobs_are_claimed_together(ledger: Ledger, leases: Leases) -> None:
    small = [create(ledger) for _ in range(3)]
    large = create(ledger, stored_bytes=LARGE)
    works = leases.claim_next()
    assert [work.job.job_id for work in works] == small
    assert [work.job.job_id for work in leases.claim_next()] == [large]


def test_a_small_job_that_was_begun_before_is_claimed_alone(ledger: Ledger, leases: Leases) -> None:
    """If it is what kills its worker, it must not take others along each time."""
    jobs = [create(ledger) for _ in range(3)]
    assert len(leases.claim_next()) == 3
    time.sleep(1.5 * SHORT_SECONDS)
    again = [leases.claim_next() for _ in range(3)]
    assert sorted(works[0].job.job_id for works in again) == sorted(jobs)
    assert [len(works) for works in again] == [1, 1, 1]
    assert {works[0].attempts for works in again} == {2}


def test_the_first_of_several_processes_leaves_large_jobs_to_others(ledger: Ledger, leases: Leases) -> None:
    large, by_uri, small = create(ledger, stored_bytes=LARGE), create(ledger, source="s3://b/f"), create(ledger)
    assert [work.job.job_id for work in leases.claim_next(small_only=True)] == [small]
    assert leases.claim_next(small_only=True) == []
    assert {leases.claim_next()[0].job.job_id for _ in range(2)} == {large, by_uri}


def test_a_step_that_is_given_back(ledger: Ledger, leases: Leases) -> None:
    job_id = create(ledger)
    leases.release(claim(leases, job_id))
    work = claim(leases, job_id)
    assert work.attempts == 1
    leases.release(work, counted=True)
    work = claim(leases, job_id)
    assert work.attempts == 2
    leases.release(work, delay_seconds=60)
    assert leases.claim_next() == []
    assert ledger.job(job_id).status == "running"


def test_many_workers_share_the_chunks(ledger: Ledger, database: Database) -> None:
    """Eight at once: each chunk is scored by one, and the job's end is due once."""
    leases = Leases(database, 60, SMALL_BYTES)
    job_id = planned(ledger, leases, 40)
    scored: list[int | None] = []
    ends: list[Work] = []

    def work_on() -> None:
        while (work := leases.claim(job_id)) is not None:
            if work.job.phase == "finish":
                ends.append(work)
                return
            scored.append(work.chunk)
            assert leases.scored(work, 10, 1)

    threads = [threading.Thread(target=work_on) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(chunk for chunk in scored if chunk is not None) == list(range(40))
    assert len(ends) == 1
    job = ledger.job(job_id)
    assert (job.rows_done, job.rows_failed) == (400, 40)


def test_open_steps(ledger: Ledger, leases: Leases) -> None:
    job_id = create(ledger)
    assert leases.open_steps(job_id, 5) == 1
    work = claim(leases, job_id)
    assert leases.open_steps(job_id, 5) == 0
    leases.planned(work, 30, 3, 1)
    assert [leases.open_steps(job_id, most) for most in (2, 5)] == [2, 3]
    leases.scored(claim(leases, job_id), 10, 0)
    assert leases.open_steps(job_id, 5) == 2
    ledger.cancel(job_id)
    assert leases.open_steps(job_id, 5) == 0


def test_messages_that_are_due(ledger: Ledger, leases: Leases, database: Database) -> None:
    sweep = Sweep(database)
    job_id = create(ledger)
    assert sweep.unsent() == [job_id]
    sweep.sent([job_id])
    assert sweep.unsent() == []
    assert sweep.idle(60) == []
    time.sleep(0.01)
    assert sweep.idle(0) == [job_id]
    work = claim(leases, job_id)
    assert sweep.idle(0) == []
    leases.release(work)
    # What is given back has nobody who would send for it.
    assert sweep.unsent() == [job_id]


def test_chunks_of_several_workers_are_no_attempts_of_each_other(ledger: Ledger, leases: Leases) -> None:
    job_id = planned(ledger, leases, 6)
    works = [claim(leases, job_id) for _ in range(6)]
    assert {work.attempts for work in works} == {1}
    leases.release(works[0])
    leases.release(works[1], counted=True)
    assert [claim(leases, job_id).attempts for _ in range(2)] == [1, 2]


def test_a_chunk_that_kills_its_workers_is_told_from_the_others(ledger: Ledger, leases: Leases) -> None:
    job_id = planned(ledger, leases, 3)
    poison = claim(leases, job_id)
    assert leases.scored(claim(leases, job_id), 10, 0)
    time.sleep(1.5 * SHORT_SECONDS)
    again = claim(leases, job_id)
    assert (again.chunk, again.attempts) == (poison.chunk, 2)


def test_a_clock_that_was_set_back(
    ledger: Ledger, leases: Leases, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed worker held until a time that will come tomorrow is free at once."""
    tomorrow = now() + 24 * 3600 * 1_000_000
    whole, chunk = create(ledger, stored_bytes=LARGE), planned(ledger, leases, 1)
    with monkeypatch.context() as ahead:
        for module in (claims, leases_module):
            ahead.setattr(module, "now", lambda: tomorrow)
        claim(leases, whole)
        claim(leases, chunk)
    assert leases.open_steps(whole, 5) == 1
    assert leases.open_steps(chunk, 5) == 1
    assert {leases.claim_next()[0].job.job_id for _ in range(2)} == {whole, chunk}
    assert leases.claim_next() == []
    # The same for messages.
    with monkeypatch.context() as ahead:
        ahead.setattr(sweep_module, "now", lambda: tomorrow)
        Sweep(database).sent([create(ledger)])
    assert len(Sweep(database).idle(60)) == 1
