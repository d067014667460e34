"""Claiming steps of jobs: whose turn it is, and who takes it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, exists, or_, select, update

from bentos.fraud.jobs.database import reading, writing
from bentos.fraud.jobs.ledger import STORED, stored
from bentos.fraud.jobs.model import Stored, Work, now
from bentos.fraud.jobs.tables import CHUNKS, JOBS
from bentos.fraud.records.database import Database

__all__ = ["Claims", "Lost", "claimable", "due"]

_SECOND: Final = 1_000_000
#: Small jobs are claimed so many at once: their steps take less time than a transaction to claim them.
_SMALL_AT_ONCE: Final = 16
#: As settings allow it.
_LONGEST_LEASE: Final = 3600 * _SECOND
#: No turn is put off so far.
_FAR: Final = 60 * _SECOND


class Lost(Exception):
    """Undoes a transaction: what it was begun for went to another."""


def claimable(instant: int, span: int = _LONGEST_LEASE) -> ColumnElement[bool]:
    """Whether a job has a step that nobody holds, where leases last ``span`` microseconds at most."""
    open_chunk = and_(CHUNKS.c.job_id == JOBS.c.job_id, CHUNKS.c.done.is_(False), _free(CHUNKS, instant, span))
    return or_(
        and_(JOBS.c.phase != "score", _free(JOBS, instant, span)),
        and_(JOBS.c.phase == "score", exists().where(open_chunk)),
    )


def due(instant: int) -> ColumnElement[bool]:
    """Whether it is a job's turn. One that lies far ahead was written before the clock was set back."""
    return or_(JOBS.c.turn_at <= instant, JOBS.c.turn_at > instant + _FAR)


def _free(table: Table, instant: int, span: int) -> ColumnElement[bool]:
    # A lease that would last longer than any does was written before the clock was set back.
    until: Column[int] = table.c.lease_until
    return or_(until < instant, until > instant + 2 * span)


class Claims:
    """Steps of jobs to claim. Safe for use by several threads and processes.

    Every method raises :class:`Unavailable` when the database fails.

    Parameters
    ----------
    database
        Of the records.
    seconds
        How long a lease lasts.
    small_bytes
        Jobs whose uploaded input is at most so large are small.
    """

    def __init__(self, database: Database, seconds: float, small_bytes: int) -> None:
        self._database = database
        self._small_bytes = small_bytes
        self._span = round(seconds * _SECOND)

    def is_small(self, job: Stored) -> bool:
        """Whether all steps of a job take no longer than a few transactions."""
        return job.phase == "plan" and not job.source and job.stored_bytes <= self._small_bytes

    def claim_next(self, *, small_only: bool = False) -> list[Work]:
        """Claim the step whose turn it is, or the first steps of several small jobs; empty when there is none.

        Parameters
        ----------
        small_only
            Leave jobs to others whose input is large.
        """
        instant = now()
        wanted = [due(instant), claimable(instant, self._span)]
        if small_only:
            # The size of what a URI leads to is not known.
            wanted += [JOBS.c.stored_bytes <= self._small_bytes, JOBS.c.source == ""]
        query = select(*STORED, JOBS.c.attempts).where(*wanted).order_by(JOBS.c.turn_at).limit(_SMALL_AT_ONCE)
        with reading(self._database) as connection:
            found = list(connection.execute(query))
        candidates = [(stored(row), row.attempts) for row in found]
        fresh = [job for job, attempts in candidates if self.is_small(job) and attempts == 0]
        if fresh and fresh[0] is candidates[0][0]:
            return self._claim_small(fresh)
        # One that was begun before is claimed alone: if it kills its worker, it takes no others along.
        for job, _ in candidates:
            work = self.claim(job.job_id)
            if work is not None:
                return [work]
        return []

    def claim(self, job_id: str) -> Work | None:
        """Claim the next step of one job; None when there is nothing to do for it that nobody holds."""
        instant, token = now(), secrets.token_hex(16)
        try:
            with writing(self._database) as connection:
                return self._claimed(connection, job_id, instant, token)
        except Lost:
            return None

    def _claimed(self, connection: Connection, job_id: str, instant: int, token: str) -> Work:
        active = [JOBS.c.job_id == job_id, JOBS.c.turn_at.is_not(None)]
        row = connection.execute(select(*STORED, JOBS.c.attempts).where(*active)).first()
        if row is None:
            raise Lost
        job, chunk, attempts = stored(row), None, row.attempts + 1
        taken = [*active, JOBS.c.phase == job.phase]
        values = {"status": "running", "turn_at": instant, "updated_at": instant}
        if job.phase == "score":
            chunk, attempts = self._claim_chunk(connection, job_id, instant, token)
        else:
            values |= {"attempts": JOBS.c.attempts + 1, "lease_token": token, "lease_until": instant + self._span}
            taken.append(_free(JOBS, instant, self._span))
        if not connection.execute(update(JOBS).where(*taken).values(values)).rowcount:
            raise Lost
        return Work(job, chunk, token, attempts)

    def _claim_chunk(self, connection: Connection, job_id: str, instant: int, token: str) -> tuple[int, int]:
        free = [CHUNKS.c.job_id == job_id, CHUNKS.c.done.is_(False), _free(CHUNKS, instant, self._span)]
        first = select(CHUNKS.c.chunk, CHUNKS.c.attempts).where(*free).order_by(CHUNKS.c.chunk).limit(1)
        held = {"lease_token": token, "lease_until": instant + self._span, "attempts": CHUNKS.c.attempts + 1}
        # Another worker may take it between the two statements; then the next one is tried.
        while (found := connection.execute(first).first()) is not None:
            if connection.execute(update(CHUNKS).where(*free, CHUNKS.c.chunk == found.chunk).values(held)).rowcount:
                return found.chunk, found.attempts + 1
        raise Lost

    def _claim_small(self, jobs: Sequence[Stored]) -> list[Work]:
        instant, token = now(), secrets.token_hex(16)
        names = [job.job_id for job in jobs]
        fresh = [JOBS.c.job_id.in_(names), JOBS.c.turn_at.is_not(None), JOBS.c.phase == "plan"]
        held = {"lease_token": token, "lease_until": instant + self._span, "attempts": 1, "turn_at": instant}
        with writing(self._database) as connection:
            connection.execute(
                update(JOBS)
                .where(*fresh, _free(JOBS, instant, self._span), JOBS.c.attempts == 0)
                .values(held | {"status": "running", "updated_at": instant})
            )
            mine = select(JOBS.c.job_id).where(JOBS.c.job_id.in_(names), JOBS.c.lease_token == token)
            taken = set(connection.execute(mine).scalars())
        return [Work(job, None, token, 1) for job in jobs if job.job_id in taken]

    def open_steps(self, job_id: str, most: int) -> int:
        """Steps of a job that could be claimed now, so many at most."""
        instant = now()
        free = [CHUNKS.c.job_id == job_id, CHUNKS.c.done.is_(False), _free(CHUNKS, instant, self._span)]
        ready = [JOBS.c.job_id == job_id, due(instant), claimable(instant, self._span)]
        with reading(self._database) as connection:
            phase = connection.execute(select(JOBS.c.phase).where(*ready)).scalar()
            if phase != "score":
                return int(phase is not None)
            return len(connection.execute(select(CHUNKS.c.chunk).where(*free).limit(most)).all())
