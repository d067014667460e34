"""Does steps of jobs, and writes down what came of them."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bentos.core.errors import ConfigError, InvalidInput, Unavailable
from bentos.fraud.bulk.pipeline import RESULT, Pipeline, Plan
from bentos.fraud.jobs.files import JobFiles
from bentos.fraud.jobs.heart import Heart, Hold
from bentos.fraud.jobs.leases import PLANNED_PROGRESS, SCORED_PROGRESS, Leases
from bentos.fraud.jobs.model import Work, now
from bentos.fraud.jobs.places import pinned

__all__ = ["Runner"]

#: How long a job waits that something it needs was down for.
_AGAIN_SECONDS: Final = 5.0
#: What a job needs and does not get for so long, such as a disk with room, it does not get at all.
_PATIENCE_HOURS: Final = 24
_UNEXPECTED: Final = "something unexpected happened; the log of the job's worker tells more"
_LOGGER = logging.getLogger(__name__)


class Runner:
    """Does steps that were claimed. Belongs to one thread.

    Parameters
    ----------
    pipeline
        Does the steps themselves.
    leases
        Where results are reported.
    files
        Of the jobs.
    heart
        Keeps what is worked on.
    attempts
        How often a step may be begun.
    store
        Names the embedded feature store of this machine; empty for a shared one.
    quick
        Folder in memory; see :func:`.quick.quick_folder`.
    """

    def __init__(
        self, pipeline: Pipeline, leases: Leases, files: JobFiles, heart: Heart, attempts: int, store: str, quick: Path
    ) -> None:
        self._pipeline = pipeline
        self._leases = leases
        self._files = files
        self._heart = heart
        self._attempts = attempts
        self._store = store
        self._quick = quick

    def run(self, works: Sequence[Work]) -> None:
        """Do steps one after the other; whatever becomes of one, the next has its turn.

        Raises
        ------
        Unavailable
            When the database fails: the steps' leases pass, and somebody does them again.
        """
        with self._heart.holding(*works) as holds:
            for hold in holds:
                self._do(hold)
                self._heart.drop(hold)

    def _do(self, hold: Hold) -> None:
        work = hold.work
        if work.attempts > self._attempts:
            tried = work.attempts - 1
            self._leases.failed(work, f"its worker ended {tried} times in the middle of it; its file may be too much")
            return
        if hold.stopped():
            self._leases.release(work)
            return
        try:
            self._step(hold)
        except InvalidInput as error:
            self._leases.failed(work, str(error))
        except Unavailable as error:
            if hold.stopped():
                self._leases.release(work)
                return
            if now() - work.job.created_at > _PATIENCE_HOURS * 3_600_000_000:
                self._leases.failed(work, f"not within {_PATIENCE_HOURS} hours: {error}")
                return
            _LOGGER.warning("job %s waits: %s", work.job.job_id, error)
            self._leases.release(work, _AGAIN_SECONDS)
        except ConfigError as error:
            _LOGGER.error("job %s: %s", work.job.job_id, error)  # noqa: TRY400 - it says all
            self._leases.failed(work, str(error))
        except Exception:
            _LOGGER.exception("job %s failed in its step %s", work.job.job_id, work.job.phase)
            if work.attempts < self._attempts:
                self._leases.release(work, _AGAIN_SECONDS, counted=True)
            else:
                self._leases.failed(work, _UNEXPECTED)

    def _step(self, hold: Hold) -> None:
        match hold.work.job.phase:
            case "plan":
                self._plan(hold)
            case "score":
                self._score(hold)
            case "finish":
                self._finish(hold)

    def _plan(self, hold: Hold) -> None:
        job = hold.work.job
        if job.store and job.store != self._store:
            raise ConfigError(
                "the job was taken by a server whose feature store is a file that this worker does not have; let both"
                " use one store (FRAUD_FEATURE_STORE=redis)"
            )
        if self._leases.is_small(job):
            try:
                self._do_quickly(hold)
            except Unavailable as error:
                if hold.stopped():
                    raise
                _LOGGER.debug("job %s: not done in memory: %s", job.job_id, error)
            else:
                return
        folder = self._files.folder(job.job_id)
        plan = self._planned(hold, folder)
        if plan.chunks > 1:
            self._files.send(job.job_id)
            self._leases.planned(hold.work, plan.rows_total, plan.chunks, self._files.size(job.job_id))
        else:
            outcome = self._pipeline.score(folder, 0)
            self._end(hold, 1, (outcome.rows, outcome.failed))

    def _planned(self, hold: Hold, folder: Path) -> Plan:
        job = hold.work.job
        progress = _percent(hold, 0.0, PLANNED_PROGRESS)
        # Those of this product's own are no secret, and may lie behind a link.
        own = self._files.source(job.job_id)
        with pinned(job.source) if job.source else contextlib.nullcontext(own) as source:
            plan = self._pipeline.plan(source, job.form, folder, job.explain, progress, hold.stopped)
        _LOGGER.info("job %s: read %d rows, %d chunks", job.job_id, plan.rows_total, plan.chunks)
        return plan

    def _do_quickly(self, hold: Hold) -> None:
        """Do all of a small job in memory; only its result goes to its files."""
        job_id = hold.work.job.job_id
        folder = self._quick / job_id
        folder.mkdir()
        try:
            plan = self._planned(hold, folder)
            outcomes = [self._pipeline.score(folder, chunk) for chunk in range(plan.chunks)]
            result = self._pipeline.finish(folder, plan.chunks)
            self._files.put(job_id, result)
            rows = sum(outcome.rows for outcome in outcomes), sum(outcome.failed for outcome in outcomes)
            self._complete(hold, result.stat().st_size, rows)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _score(self, hold: Hold) -> None:
        job, chunk = hold.work.job, hold.work.chunk
        if chunk is None:
            raise TypeError("a chunk is scored by its number")
        self._files.fetch(job.job_id, self._pipeline.needed(chunk))
        outcome = self._pipeline.score(self._files.folder(job.job_id), chunk)
        self._files.send(job.job_id)
        if self._leases.scored(hold.work, outcome.rows, outcome.failed):
            _LOGGER.info("job %s: scored chunk %d of %d", job.job_id, chunk, job.chunks)

    def _finish(self, hold: Hold) -> None:
        self._files.fetch(hold.work.job.job_id)
        self._end(hold, hold.work.job.chunks, None)

    def _end(self, hold: Hold, chunks: int, rows: tuple[int, int] | None) -> None:
        job_id = hold.work.job.job_id
        folder = self._files.folder(job_id)
        result = self._pipeline.finish(folder, chunks, _percent(hold, SCORED_PROGRESS, 100.0))
        self._files.send(job_id)
        self._complete(hold, result.stat().st_size, rows)
        self._files.leave(job_id)

    def _complete(self, hold: Hold, stored_bytes: int, rows: tuple[int, int] | None) -> None:
        job_id = hold.work.job.job_id
        if self._leases.completed(hold.work, stored_bytes, rows):
            self._files.keep(job_id, RESULT)
            _LOGGER.info("job %s: completed", job_id)


def _percent(hold: Hold, start: float, end: float) -> Callable[[float], None]:
    """Tells of a step's share, from 0 to 1, as percent of the whole job."""

    def tell(share: float) -> None:
        hold.percent = start + (end - start) * min(max(share, 0.0), 1.0)

    return tell
