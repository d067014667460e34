"""Tables of the jobs, in the records database. Instants are microseconds since 1970 UTC, 0 is long ago."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, String, Table, Text

from bentos.fraud.records.metadata import METADATA

__all__ = ["CHUNKS", "JOBS", "TOTALS"]

#: One row per job.
#:
#: phase          what is to be done next: plan, score or finish; one of the three to its end
#: turn_at        the job with the earliest turn comes next, not before it; each step gives it a new one; NULL ends
#: lease_*        who works on plan or finish, and until when he is believed to live; token "" is nobody
#: attempts       how often plan or finish was begun; a chunk counts its own
#: sent_at        when the broker took the job's message; 0 when it has to be sent (the outbox)
#: stored_bytes   what the job's files take; 0 when they are gone
JOBS: Final = Table(
    "jobs",
    METADATA,
    Column("job_id", String(32), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("phase", String(8), nullable=False),
    Column("idempotency_key", String(64), unique=True),
    Column("fingerprint", String(64), nullable=False),
    Column("source", Text, nullable=False),
    Column("form", String(8), nullable=False),
    Column("explain", String(8), nullable=False),
    Column("result_form", String(8), nullable=False),
    Column("store", String(64), nullable=False),
    Column("progress", Float, nullable=False),
    Column("rows_total", BigInteger),
    Column("rows_done", BigInteger, nullable=False),
    Column("rows_failed", BigInteger, nullable=False),
    Column("chunks", Integer, nullable=False),
    Column("chunks_done", Integer, nullable=False),
    Column("error", Text),
    Column("turn_at", BigInteger),
    Column("lease_token", String(32), nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("sent_at", BigInteger, nullable=False),
    Column("stored_bytes", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # Whose turn it is; how many of each state there are and what their files take, without touching a row; who is old.
    Index("jobs_turn", "turn_at", "sent_at"),
    Index("jobs_states", "status", "stored_bytes"),
    Index("jobs_ended", "status", "updated_at"),
)

#: One row per chunk of a job that runs.
CHUNKS: Final = Table(
    "job_chunks",
    METADATA,
    Column("job_id", String(32), primary_key=True),
    Column("chunk", Integer, primary_key=True, autoincrement=False),
    Column("done", Boolean, nullable=False),
    Column("lease_token", String(32), nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Index("job_chunks_open", "job_id", "done", "chunk"),
)

#: Counts that outlive the jobs, such as the rows ever scored.
TOTALS: Final = Table(
    "job_totals",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("total", BigInteger, nullable=False),
)
