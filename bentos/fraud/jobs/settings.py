"""Settings of batch jobs."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from bentos.core.settings import Settings
from bentos.fraud.jobs.places import check_place

__all__ = ["JobsSettings"]

_MEBIBYTE: Final = 1024**2
_GIBIBYTE: Final = 1024**3


class JobsSettings(Settings):
    """Settings of batch jobs."""

    queue_url: SecretStr | None = Field(
        default=None,
        description="Broker of Celery, redis:// (rediss://) or amqp:// (amqps://); may hold a password. None means that"
        " a process beside the server does the jobs.",
    )
    jobs_url: str | None = Field(
        default=None,
        description="Folder of the jobs' files: a path or any URL of fsspec, which servers and workers must both reach."
        " None means serving/jobs under FRAUD_HOME.",
    )
    job_processes: int = Field(
        default=1,
        ge=0,
        le=64,
        description="Processes beside the server that do jobs when there is no broker; 0 means none: jobs wait for"
        " `python -m bentos.fraud jobs worker`. From two on, the first does small jobs alone, so that these never wait"
        " for a large file to be read.",
    )
    job_nice: int = Field(
        default=10,
        ge=0,
        le=19,
        description="How much a process of jobs stands back for others, such as the server; 19 is most.",
    )
    job_lease_seconds: float = Field(
        default=30.0,
        ge=0.5,
        le=3600,
        description="For how long a worker holds what it works on without a sign of life; then another takes it over.",
    )
    job_parallel_chunks: int = Field(
        default=16,
        ge=1,
        le=1000,
        description="Chunks of one job that are with the broker at a time, and so are scored at once at most: what"
        " comes after a large job does not wait at the end of a long queue.",
    )
    job_attempts: int = Field(
        default=3,
        ge=1,
        le=100,
        description="How often a step of a job is begun: one whose workers were killed so many times is failed, for it"
        " may be what kills them.",
    )
    job_small_bytes: int = Field(
        default=_MEBIBYTE,
        ge=0,
        le=64 * _MEBIBYTE,
        description="Uploads up to this size, bytes, are done in one go, in memory (/dev/shm), several after one look"
        " at the database. A job that is killed in the middle is then done again from its start.",
    )
    job_upload_limit_bytes: int = Field(
        default=2 * _GIBIBYTE, ge=1024, description="Largest file of a job that is uploaded, bytes."
    )
    job_upload_idle_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="Longest silence of a client in the middle of an upload, seconds."
    )
    job_upload_seconds: float = Field(
        default=3600.0,
        gt=0,
        le=12 * 3600,
        description="Longest time of an upload as a whole, seconds: one that trickles holds its room for no longer.",
    )
    job_waiting_limit: int = Field(
        default=20_000,
        ge=1,
        le=10_000_000,
        description="Jobs that wait or run at most; more are refused with 429.",
    )
    job_total_limit_bytes: int = Field(
        default=50 * _GIBIBYTE,
        ge=_MEBIBYTE,
        description="Bytes of all jobs' inputs and results at most; while there are more, jobs are refused with 429.",
    )
    job_retention_hours: float = Field(
        default=72.0,
        gt=0,
        le=24 * 3650,
        description="How long a result is kept after its job ended, hours; the job is then expired, its result gone.",
    )
    job_record_hours: float = Field(
        default=24.0 * 90,
        gt=0,
        le=24 * 3650,
        description="How long the record of a job that has ended is kept, hours; it is unknown (404) afterwards.",
    )
    job_sweep_seconds: float = Field(
        default=15.0,
        ge=0.1,
        le=3600,
        description="Time between two looks for what is due: lost messages, results to remove, left files, seconds.",
    )
    job_sources: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Places that the uri of a job may lead to, separated by commas, each a URL that ends in a slash,"
        " such as s3://payments-in/ or file:///srv/in/. Nowhere by default: whoever may name any address makes the"
        " server read it for him.",
    )

    @field_validator("job_sources", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("job_sources")
    @classmethod
    def _check_places(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_place(place) for place in value)

    @field_validator("jobs_url")
    @classmethod
    def _check_folder(cls, value: str | None) -> str | None:
        # Workers run in the bento's folder.
        if value is not None and "://" not in value and not value.startswith("/"):
            raise ValueError("must be a URL or a path from the root")
        return value

    @field_validator("queue_url")
    @classmethod
    def _check_broker(cls, value: SecretStr | None) -> SecretStr | None:
        schemes = ("redis://", "rediss://", "amqp://", "amqps://")
        if value is not None and not value.get_secret_value().startswith(schemes):
            raise ValueError(f"must begin with {', '.join(schemes[:-1])} or {schemes[-1]}")
        return value
