"""What is due in the database besides steps: messages to send, results to remove, records to forget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import delete, exists, or_, select, update

from bentos.fraud.jobs.claims import claimable, due
from bentos.fraud.jobs.database import reading, writing
from bentos.fraud.jobs.model import now
from bentos.fraud.jobs.tables import CHUNKS, JOBS
from bentos.fraud.records.database import Database

__all__ = ["Sweep"]

#: Rows of one transaction.
_AT_ONCE: Final = 500
_SECOND: Final = 1_000_000
_GONE: Final = ("failed", "cancelled", "expired")


class Sweep:
    """Finds and settles what is due. Safe for use by several threads and processes, which may do the same twice.

    Every method raises :class:`Unavailable` when the database fails.

    Parameters
    ----------
    database
        Of the records.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def unsent(self) -> list[str]:
        """Active jobs of which no message was sent, oldest first."""
        query = select(JOBS.c.job_id).where(due(now()), JOBS.c.sent_at == 0)
        with reading(self._database) as connection:
            return list(connection.execute(query.order_by(JOBS.c.turn_at).limit(_AT_ONCE)).scalars())

    def idle(self, seconds: float) -> list[str]:
        """Active jobs with a step that nobody holds, though their last message was sent longer ago."""
        instant = now()
        sent = [JOBS.c.sent_at > 0, or_(JOBS.c.sent_at < instant - round(seconds * _SECOND), JOBS.c.sent_at > instant)]
        query = select(JOBS.c.job_id).where(due(instant), claimable(instant), *sent)
        with reading(self._database) as connection:
            return list(connection.execute(query.order_by(JOBS.c.turn_at).limit(_AT_ONCE)).scalars())

    def sent(self, job_ids: Sequence[str], *, sent: bool = True) -> None:
        """Note that messages of jobs were sent, or have to be."""
        with writing(self._database) as connection:
            connection.execute(update(JOBS).where(JOBS.c.job_id.in_(job_ids)).values(sent_at=now() if sent else 0))

    def expire(self, hours: float) -> int:
        """Make jobs that completed longer ago expired; how many."""
        old = [JOBS.c.status == "completed", JOBS.c.updated_at < now() - round(hours * 3600 * _SECOND)]
        some = select(JOBS.c.job_id).where(*old).limit(_AT_ONCE)
        changed = 0
        while True:
            with writing(self._database) as connection:
                found = list(connection.execute(some).scalars())
                values = {"status": "expired", "updated_at": now()}
                connection.execute(update(JOBS).where(JOBS.c.job_id.in_(found), *old).values(values))
            changed += len(found)
            if len(found) < _AT_ONCE:
                return changed

    def with_files(self, after: str = "") -> list[str]:
        """Jobs whose files are to be removed, and of which nobody holds a step, by name; those after one."""
        instant = now()
        held = exists().where(CHUNKS.c.job_id == JOBS.c.job_id, CHUNKS.c.lease_until >= instant)
        gone = [JOBS.c.status.in_(_GONE), JOBS.c.stored_bytes > 0, JOBS.c.lease_until < instant, ~held]
        query = select(JOBS.c.job_id).where(*gone, JOBS.c.job_id > after)
        with reading(self._database) as connection:
            return list(connection.execute(query.order_by(JOBS.c.job_id).limit(_AT_ONCE)).scalars())

    def removed(self, job_ids: Sequence[str]) -> None:
        """Note that the files of jobs are gone."""
        with writing(self._database) as connection:
            connection.execute(delete(CHUNKS).where(CHUNKS.c.job_id.in_(job_ids)))
            connection.execute(update(JOBS).where(JOBS.c.job_id.in_(job_ids)).values(stored_bytes=0))

    def forget(self, hours: float) -> int:
        """Remove the records of jobs that ended longer ago, and whose files are gone; how many."""
        old = [JOBS.c.stored_bytes == 0, JOBS.c.updated_at < now() - round(hours * 3600 * _SECOND)]
        some = select(JOBS.c.job_id).where(JOBS.c.status.in_(_GONE), *old).limit(_AT_ONCE)
        with writing(self._database) as connection:
            found = list(connection.execute(some).scalars())
            connection.execute(delete(JOBS).where(JOBS.c.job_id.in_(found)))
        return len(found)
