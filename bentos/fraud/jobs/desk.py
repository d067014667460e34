"""Where jobs are handed in, asked for, cancelled and handed out; free of transport.

A job is accepted in this order: its file is on disk, its row is committed, the caller is told, a worker is called. What
fails before the row leaves nothing behind; what fails after it is found by the workers themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from bentos.core.answers import DependencyState
from bentos.core.errors import Conflict, Expired, Unavailable
from bentos.core.jobs import Job, ResultForm, SourceForm
from bentos.fraud.jobs.admission import Admission
from bentos.fraud.jobs.counts import JobCounts
from bentos.fraud.jobs.files import JobFiles, Upload
from bentos.fraud.jobs.ledger import Ledger
from bentos.fraud.jobs.model import Submission, new_job_id
from bentos.fraud.jobs.places import allowed_source
from bentos.fraud.jobs.results import RESULT, read_parts
from bentos.fraud.jobs.settings import JobsSettings
from bentos.fraud.options import Explain

__all__ = ["Announcer", "Desk", "Options"]

_GONE: Final = "the result was kept for its time and is gone; give the job again"


class Announcer(Protocol):
    """Tells workers of jobs."""

    def announce(self, job_id: str) -> None:
        """Call a worker. Never waits, never fails."""
        ...

    def check(self) -> DependencyState:
        """Whether workers can be called."""
        ...

    def close(self) -> None:
        """Give back what is held open."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller wants of a job.

    Parameters
    ----------
    explain
        Which rows get reasons.
    result_form
        Of the result when who asks for it does not say.
    idempotency_key
        The same key is the same job; None for a new one in any case.
    caller
        Who asks; keys of different callers are different.
    """

    explain: Explain = "flagged"
    result_form: ResultForm = "parquet"
    idempotency_key: str | None = None
    caller: str = ""


class Desk:
    """The calls about jobs. Safe for use by several threads; every call may take as long as the database does.

    Every call raises :class:`Unavailable` when database or files fail.

    Parameters
    ----------
    ledger, files, announcer
        Where jobs are written down, where their files lie, who is told of them.
    settings
        Limits and allowed places.
    store
        Names the embedded feature store of this machine; empty for a shared one.
    """

    def __init__(
        self, ledger: Ledger, files: JobFiles, announcer: Announcer, settings: JobsSettings, store: str
    ) -> None:
        self.ledger = ledger
        self.files = files
        self.counts: Final = JobCounts(ledger)
        self.upload_limit_bytes = settings.job_upload_limit_bytes
        self.upload_idle_seconds = settings.job_upload_idle_seconds
        self.upload_seconds = settings.job_upload_seconds
        self._announcer = announcer
        self._admission = Admission(ledger, settings)
        self._places: Final = settings.job_sources
        self._store = store

    def open_upload(self) -> tuple[str, Upload]:
        """Begin to take a file; the name of the job that it may become, and where its octets go.

        Raises
        ------
        Overloaded
            When there is no room for another job.
        """
        self._admission.admit()
        job_id = new_job_id()
        return job_id, self._admission.incoming(self.files.receive(job_id))

    def submit_upload(
        self, job_id: str, upload: Upload, form: SourceForm, digest: str, size: int, options: Options
    ) -> Job:
        """Make a job of a file that came as a whole.

        Parameters
        ----------
        job_id, upload
            From :meth:`open_upload`. The upload is discarded when it becomes no job.
        form, digest, size
            Of the file: its form, SHA-256 in hexadecimal digits, bytes.
        options
            Of the caller.

        Raises
        ------
        InvalidInput
            When its idempotency key came with another file or other options.
        """
        try:
            upload.commit()
        except BaseException:
            upload.discard()
            raise
        try:
            job, is_new = self._create(job_id, "", form, digest, size, options)
        except Unavailable:
            # The database may have taken the job before it fell silent. If not, a sweep removes the file.
            raise
        except BaseException:
            upload.discard()
            raise
        if not is_new:
            upload.discard()
        return job

    def submit_uri(self, uri: str, form: SourceForm, options: Options) -> Job:
        """Make a job of what a URI leads to.

        Raises
        ------
        InvalidInput
            When it leads to no allowed place, or its idempotency key came with another.
        Overloaded
            When there is no room for another job.
        """
        source = allowed_source(uri, self._places)
        self._admission.admit()
        return self._create(new_job_id(), source, form, "", 0, options)[0]

    def _create(
        self, job_id: str, source: str, form: SourceForm, digest: str, size: int, options: Options
    ) -> tuple[Job, bool]:
        told = [source, form, digest, options.explain, options.result_form]
        key = options.idempotency_key
        submission = Submission(
            job_id,
            source,
            form,
            options.explain,
            options.result_form,
            None if key is None else _digest(options.caller, key),
            _digest(*told),
            self._store,
            size,
        )
        job, is_new = self.ledger.create(submission)
        if is_new:
            self._announcer.announce(job_id)
        return job, is_new

    def job(self, job_id: str) -> Job:
        """State of a job. Raises NotFound."""
        return self.ledger.job(job_id)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; one that is cancelled already stays so. Raises NotFound and Conflict."""
        return self.ledger.cancel(job_id)

    def result(self, job_id: str, form: ResultForm | None) -> tuple[Iterator[bytes], ResultForm]:
        """A result, piece by piece, and its form: the one asked for, else the job's.

        Raises
        ------
        NotFound
            When there is no such job.
        Conflict
            When it has not completed: not yet, or never will.
        Expired
            When the result was there, and is no longer.
        """
        stored = self.ledger.stored(job_id)
        if stored.status == "expired":
            raise Expired(_GONE)
        if stored.status != "completed":
            last = {"pending": "; ask again later", "running": "; ask again later"}.get(stored.status, ", without one")
            raise Conflict(f"the job is {stored.status}{last}")
        stream = self.files.open(job_id, *RESULT)
        if stream is None:
            # Just now.
            raise Expired(_GONE)
        chosen = form or stored.result_form
        return read_parts(stream, chosen), chosen

    def check(self) -> DependencyState:
        """Whether jobs are done."""
        return self._announcer.check()

    def close(self) -> None:
        """Give back what is held open."""
        self._announcer.close()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
