"""Jobs in the database, for those who give and ask for them: each change of state is one conditional UPDATE."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from bentos.core.errors import Conflict, FieldError, InvalidInput, NotFound
from bentos.core.jobs import JOB_STATES, Job, JobState
from bentos.core.transaction import EARLIEST
from bentos.fraud.jobs.database import reading, writing
from bentos.fraud.jobs.model import Stored, Submission, id_time, now
from bentos.fraud.jobs.tables import JOBS, TOTALS
from bentos.fraud.records.database import Database

__all__ = ["STORED", "Ledger", "StateCount", "stored"]

_SHOWN: Final = [JOBS.c[name] for name in Job.model_fields]
_UNKNOWN: Final = "there is no job of this name; job_id stands in the answer to /predict_batch"
STORED: Final = [JOBS.c[name] for name in Stored.__dataclass_fields__]


@dataclass(frozen=True, slots=True)
class StateCount:
    """Jobs in one state, and the bytes of their files."""

    jobs: int
    stored_bytes: int


class Ledger:
    """Creates jobs, tells of them, cancels them. Safe for use by several threads and processes.

    Every method raises :class:`Unavailable` when the database fails.

    Parameters
    ----------
    database
        Of the records.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, submission: Submission) -> tuple[Job, bool]:
        """Write a job down; it is on disk when this returns.

        Returns
        -------
        tuple
            The job, and whether it is new: with an idempotency key that is known, it is the job of that key.

        Raises
        ------
        InvalidInput
            When the key came with another job before.
        """
        known = self._of_key(submission)
        if known is not None:
            return known, False
        created = now()
        values = asdict(submission) | {
            "status": "pending",
            "phase": "plan",
            "progress": 0.0,
            "rows_done": 0,
            "rows_failed": 0,
            "chunks": 0,
            "chunks_done": 0,
            "turn_at": created,
            "lease_token": "",
            "lease_until": 0,
            "attempts": 0,
            "sent_at": 0,
            "stored_bytes": max(1, submission.stored_bytes),
            "created_at": created,
            "updated_at": created,
        }
        try:
            with writing(self._database) as connection:
                connection.execute(insert(JOBS).values(values))
                return _shown(_row(connection, submission.job_id)), True
        except IntegrityError:
            # Another request with the same key came first.
            known = self._of_key(submission)
            if known is None:
                raise
            return known, False

    def _of_key(self, submission: Submission) -> Job | None:
        if submission.idempotency_key is None:
            return None
        of_key = JOBS.c.idempotency_key == submission.idempotency_key
        with reading(self._database) as connection:
            found = connection.execute(select(*_SHOWN, JOBS.c.fingerprint).where(of_key)).first()
        if found is not None and found.fingerprint != submission.fingerprint:
            message = "came with another file or other options before; a new job needs a new key"
            raise InvalidInput([FieldError("idempotency-key", message)])
        return None if found is None else _shown(found)

    def job(self, job_id: str) -> Job:
        """What callers see of a job.

        Raises
        ------
        NotFound
            When there is none of that name, or no longer.
        """
        with reading(self._database) as connection:
            return _shown(_row(connection, job_id))

    def stored(self, job_id: str) -> Stored:
        """What workers and answers need of a job.

        Raises
        ------
        NotFound
            When there is none of that name, or no longer.
        """
        with reading(self._database) as connection:
            return stored(_row(connection, job_id, STORED))

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; one that is cancelled already stays so.

        Raises
        ------
        NotFound
            When there is none of that name, or no longer.
        Conflict
            When it has ended otherwise.
        """
        _require_name(job_id)
        ended = now()
        with writing(self._database) as connection:
            # A worker that holds it notices at its next sign of life; until then its lease keeps the files there.
            changed = connection.execute(
                update(JOBS)
                .where(JOBS.c.job_id == job_id, JOBS.c.status.in_(("pending", "running")))
                .values(status="cancelled", turn_at=None, updated_at=ended)
            )
            job = _shown(_row(connection, job_id))
        if not changed.rowcount and job.status != "cancelled":
            raise Conflict(f"the job is {job.status} already; only one that is pending or running can be cancelled")
        return job

    def jobs(self, state: JobState | None, limit: int) -> list[Job]:
        """The newest jobs first, of one state or all."""
        query = select(*_SHOWN).order_by(JOBS.c.job_id.desc()).limit(limit)
        with reading(self._database) as connection:
            return [_shown(row) for row in connection.execute(query if state is None else _of(query, state))]

    def counts(self) -> dict[JobState, StateCount]:
        """How many jobs are in each state."""
        query = select(JOBS.c.status, func.count(), func.coalesce(func.sum(JOBS.c.stored_bytes), 0))
        with reading(self._database) as connection:
            rows = connection.execute(query.group_by(JOBS.c.status)).all()
        found = {row[0]: StateCount(row[1], int(row[2])) for row in rows}
        return {state: found.get(state, StateCount(0, 0)) for state in JOB_STATES}

    def totals(self) -> dict[str, int]:
        """Counts that outlive the jobs, by their names."""
        with reading(self._database) as connection:
            return {row.name: row.total for row in connection.execute(select(TOTALS))}

    def known(self, job_ids: Iterable[str]) -> set[str]:
        """Those of the names that jobs have."""
        with reading(self._database) as connection:
            return set(connection.execute(select(JOBS.c.job_id).where(JOBS.c.job_id.in_(list(job_ids)))).scalars())


def stored(row: Any) -> Stored:
    """What a row with the columns ``STORED``, and maybe others, says."""
    return Stored(**{name: row._mapping[name] for name in Stored.__dataclass_fields__})


def _of(query: Any, state: JobState) -> Any:
    return query.where(JOBS.c.status == state)


def _row(connection: Connection, job_id: str, columns: Any = None) -> Any:
    _require_name(job_id)
    found = connection.execute(select(*(columns or _SHOWN)).where(JOBS.c.job_id == job_id)).first()
    if found is None:
        raise NotFound(_UNKNOWN)
    return found


def _require_name(job_id: str) -> None:
    # Databases refuse some texts as such, PostgreSQL those with a zero.
    if id_time(job_id) is None:
        raise NotFound(_UNKNOWN)


def _shown(row: Any) -> Job:
    values = row._mapping
    instants = {name: EARLIEST + timedelta(microseconds=values[name]) for name in ("created_at", "updated_at")}
    return Job(**{name: values[name] for name in Job.model_fields} | instants)
