"""Jobs in the database, for those who do them: a step is claimed by a lease, and what its holder reports counts once.

A lease is a token and a time. Who takes a step over, because the time has passed, writes his own token; from then on
nothing that the former holder reports has an effect. So a message that comes twice, a worker that was only thought dead
and a step that is done again are all harmless: the files of a step are the same whoever writes them.

Transactions change a chunk before its job, never after it, or two of them would wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, case, delete, exists, insert, update

from bentos.core.jobs import JobState
from bentos.fraud.jobs.claims import Claims, Lost
from bentos.fraud.jobs.database import writing
from bentos.fraud.jobs.model import Work, now
from bentos.fraud.jobs.tables import CHUNKS, JOBS, TOTALS

__all__ = ["PLANNED_PROGRESS", "SCORED_PROGRESS", "Leases"]

#: Percent that a job has got to when its input is read, and when all of its rows are scored.
PLANNED_PROGRESS: Final = 20.0
SCORED_PROGRESS: Final = 95.0
_SECOND: Final = 1_000_000
_LONGEST: Final = 2000
#: Columns of a job or chunk that nobody holds.
_FREE: Final[dict[str, object]] = {"lease_token": "", "lease_until": 0}


class Leases(Claims):
    """Steps of jobs, claimed and reported. Safe for use by several threads and processes.

    Every method raises :class:`Unavailable` when the database fails. Parameters are those of :class:`.claims.Claims`.
    """

    def extend(self, held: Collection[Work], progress: dict[str, float]) -> set[str]:
        """Show a sign of life.

        Parameters
        ----------
        held
            Steps that this worker holds.
        progress
            Percent that jobs have got to, by their names.

        Returns
        -------
        set
            Tokens and names, ``token:job_id``, of what is held no longer: another took it, or the job has ended.
        """
        instant = now()
        lost = set()
        with writing(self._database) as connection:
            for work in held:
                alive = connection.execute(self._extension(work, instant)).rowcount
                values: dict[str, Any] = {"updated_at": instant}
                if work.job.job_id in progress:
                    values["progress"] = _raised(progress[work.job.job_id])
                runs = [JOBS.c.job_id == work.job.job_id, JOBS.c.status == "running"]
                if not alive or not connection.execute(update(JOBS).where(*runs).values(values)).rowcount:
                    lost.add(key(work))
        return lost

    def _extension(self, work: Work, instant: int) -> Any:
        table = JOBS if work.chunk is None else CHUNKS
        return update(table).where(*_mine(work)).values(lease_until=instant + self._span)

    def planned(self, work: Work, rows_total: int, chunks: int, stored_bytes: int) -> bool:
        """Note that an input was read; whether the worker still held it."""
        values = {
            "phase": "score",
            "rows_total": rows_total,
            "chunks": chunks,
            "attempts": 0,
            "stored_bytes": max(1, stored_bytes),
            "progress": _raised(PLANNED_PROGRESS),
        }
        with writing(self._database) as connection:
            if not _advance(connection, work, values | _FREE):
                return False
            fresh = {"job_id": work.job.job_id, "done": False, "attempts": 0, **_FREE}
            rows = [fresh | {"chunk": chunk} for chunk in range(chunks)]
            connection.execute(insert(CHUNKS), rows)
        return True

    def scored(self, work: Work, rows: int, failed: int) -> bool:
        """Note that a chunk was scored; whether the worker still held it. The last one makes the job's end due."""
        done = JOBS.c.chunks_done + 1
        share = (SCORED_PROGRESS - PLANNED_PROGRESS) * done / JOBS.c.chunks
        values = {
            "chunks_done": done,
            "rows_done": JOBS.c.rows_done + rows,
            "rows_failed": JOBS.c.rows_failed + failed,
            "progress": PLANNED_PROGRESS + share,
            "phase": case((done >= JOBS.c.chunks, "finish"), else_=JOBS.c.phase),
        }
        try:
            with writing(self._database) as connection:
                ended = update(CHUNKS).where(*_mine(work)).values({"done": True} | _FREE)
                _require(connection.execute(ended).rowcount == 1)
                runs = [JOBS.c.job_id == work.job.job_id, JOBS.c.status == "running"]
                instant = {"turn_at": now(), "updated_at": now()}
                _require(connection.execute(update(JOBS).where(*runs).values(values | instant)).rowcount == 1)
                _count(connection, rows, failed)
        except Lost:
            return False
        return True

    def completed(self, work: Work, stored_bytes: int, rows: tuple[int, int] | None = None) -> bool:
        """Note that a job is complete; whether the worker still held it.

        Parameters
        ----------
        work
            Its last step, or its first when that did everything.
        stored_bytes
            Size of its files.
        rows
            Rows and failed rows of a job that was done in one go.
        """
        values: dict[str, object] = {"progress": 100.0, "stored_bytes": max(1, stored_bytes)}
        if rows is not None:
            values |= {"rows_total": rows[0], "rows_done": rows[0], "rows_failed": rows[1]}
        with writing(self._database) as connection:
            if not _end(connection, work, "completed", values):
                return False
            # A job that fails or is cancelled keeps them until nobody holds one: they say who still writes its files.
            connection.execute(delete(CHUNKS).where(CHUNKS.c.job_id == work.job.job_id))
            if rows is not None:
                _count(connection, *rows)
        return True

    def failed(self, work: Work, error: str) -> bool:
        """Note that a job has failed, and why; whether the worker still held it."""
        with writing(self._database) as connection:
            # It may quote the file, of any length and with characters that a database refuses.
            text = "".join(
                letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in error[:_LONGEST]
            )
            return _end(connection, work, "failed", {"error": text})

    def release(self, work: Work, delay_seconds: float = 0.0, *, counted: bool = False) -> None:
        """Give a step back that could not be done.

        Parameters
        ----------
        work
            The step.
        delay_seconds
            Nobody gets it before these are over.
        counted
            Whether it counts among the times that it may be begun.
        """
        again = {"turn_at": now() + round(delay_seconds * _SECOND), "sent_at": 0}
        runs = [JOBS.c.job_id == work.job.job_id, JOBS.c.turn_at.is_not(None)]
        table = JOBS if work.chunk is None else CHUNKS
        given = _FREE if counted else _FREE | {"attempts": table.c.attempts - 1}
        with writing(self._database) as connection:
            if connection.execute(update(table).where(*_mine(work)).values(given)).rowcount:
                connection.execute(update(JOBS).where(*runs).values(again))


def _require(held: bool) -> None:
    if not held:
        raise Lost


def key(work: Work) -> str:
    """Names a held step."""
    return f"{work.token}:{work.job.job_id}"


def _mine(work: Work) -> list[ColumnElement[bool]]:
    if work.chunk is None:
        return [JOBS.c.job_id == work.job.job_id, JOBS.c.lease_token == work.token]
    return [
        CHUNKS.c.job_id == work.job.job_id,
        CHUNKS.c.chunk == work.chunk,
        CHUNKS.c.lease_token == work.token,
        CHUNKS.c.done.is_(False),
    ]


def _advance(connection: Connection, work: Work, values: dict[str, object]) -> bool:
    """Change a job that runs, by the word of who holds one of its steps."""
    instant = now()
    runs: list[ColumnElement[bool]] = [JOBS.c.job_id == work.job.job_id, JOBS.c.status == "running"]
    if work.chunk is None:
        runs.append(JOBS.c.lease_token == work.token)
    else:
        runs.append(exists().where(*_mine(work)))
    changed = connection.execute(update(JOBS).where(*runs).values({"turn_at": instant, "updated_at": instant} | values))
    return bool(changed.rowcount)


def _end(connection: Connection, work: Work, state: JobState, values: dict[str, object]) -> bool:
    return _advance(connection, work, {"status": state, "turn_at": None} | values | _FREE)


def _raised(percent: float) -> ColumnElement[float]:
    return case((JOBS.c.progress < percent, percent), else_=JOBS.c.progress)


def _count(connection: Connection, rows: int, failed: int) -> None:
    for name, more in (("rows_scored", rows - failed), ("rows_failed", failed)):
        if not connection.execute(
            update(TOTALS).where(TOTALS.c.name == name).values(total=TOTALS.c.total + more)
        ).rowcount:
            connection.execute(insert(TOTALS).values(name=name, total=more))
