"""Jobs as the service tells of them: the contract of its clients."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ENDED", "FINAL", "JOB_STATES", "Job", "JobState", "ResultForm", "SourceForm"]

JobState: TypeAlias = Literal["pending", "running", "completed", "failed", "cancelled", "expired"]
#: Forms of a file of transactions, and of a result.
SourceForm: TypeAlias = Literal["csv", "parquet", "jsonl"]
ResultForm: TypeAlias = Literal["parquet", "csv"]

JOB_STATES: Final[tuple[JobState, ...]] = get_args(JobState)
#: States in which nothing more is done for a job.
ENDED: Final = frozenset[JobState]({"completed", "failed", "cancelled", "expired"})
#: States that a job never leaves. A completed one expires.
FINAL: Final = ENDED - {"completed"}


class Job(BaseModel):
    """An asynchronous batch scoring."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job_id: str = Field(description="Names the job; whoever knows it may ask for its result.")
    status: JobState
    progress: float = Field(ge=0, le=100, description="Percent of the work; never falls.")
    rows_total: int | None = Field(description="Rows of the input; null until it was read.")
    rows_done: int = Field(ge=0, description="Rows that were scored, bad ones included.")
    rows_failed: int = Field(ge=0, description="Rows that have an error instead of a score.")
    error: str | None = Field(description="Why the job failed; null when it did not.")
    created_at: datetime
    updated_at: datetime
