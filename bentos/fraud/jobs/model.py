"""What the parts of batch jobs hand each other."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from time import time_ns
from typing import Final, Literal, TypeAlias

from bentos.core.jobs import JobState, ResultForm, SourceForm
from bentos.fraud.options import Explain

__all__ = ["Phase", "Stored", "Submission", "Work", "id_time", "new_job_id", "now"]

Phase: TypeAlias = Literal["plan", "score", "finish"]

_MILLISECOND: Final = 1000


def now() -> int:
    """This instant, microseconds since 1970 UTC."""
    return time_ns() // 1000


def new_job_id() -> str:
    """A name for a job, 32 hexadecimal digits: 12 of the millisecond, so in order of time, 20 that nobody can guess."""
    return f"{now() // _MILLISECOND:012x}{secrets.token_hex(10)}"


def id_time(job_id: str) -> int | None:
    """When a job's name was made, microseconds since 1970 UTC; None when it is no name of a job."""
    if len(job_id) != 32 or not set(job_id) <= set("0123456789abcdef"):
        return None
    return int(job_id[:12], 16) * _MILLISECOND


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to be.

    Parameters
    ----------
    job_id
        From :func:`new_job_id`.
    source
        URI of the input; empty for a file that was uploaded to the job's folder.
    form
        Of the input.
    explain
        Which rows get reasons.
    result_form
        Of the result when who asks for it does not say.
    idempotency_key
        Of the caller; None when it has none.
    fingerprint
        Tells whether the same key comes with the same job.
    store
        Names an embedded feature store, of which only this machine has the file; empty for a shared one.
    stored_bytes
        Size of the uploaded file.
    """

    job_id: str
    source: str
    form: SourceForm
    explain: Explain
    result_form: ResultForm
    idempotency_key: str | None
    fingerprint: str
    store: str
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What workers and answers need of a job's row."""

    job_id: str
    status: JobState
    phase: Phase
    source: str
    form: SourceForm
    explain: Explain
    result_form: ResultForm
    store: str
    chunks: int
    stored_bytes: int
    created_at: int


@dataclass(frozen=True, slots=True)
class Work:
    """A step of a job that a worker holds by a lease.

    Parameters
    ----------
    job
        As it was when the lease began.
    chunk
        Which one, when the step is to score one.
    token
        Of the lease; changes of a worker whose lease went to another have no effect.
    attempts
        How often this very step was begun, this time included.
    """

    job: Stored
    chunk: int | None
    token: str
    attempts: int
