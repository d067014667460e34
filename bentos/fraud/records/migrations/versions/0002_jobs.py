"""Batch jobs: the jobs, their chunks, and counts that outlive them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(32), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("phase", sa.String(8), nullable=False),
        sa.Column("idempotency_key", sa.String(64)),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("form", sa.String(8), nullable=False),
        sa.Column("explain", sa.String(8), nullable=False),
        sa.Column("result_form", sa.String(8), nullable=False),
        sa.Column("store", sa.String(64), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("rows_total", sa.BigInteger()),
        sa.Column("rows_done", sa.BigInteger(), nullable=False),
        sa.Column("rows_failed", sa.BigInteger(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("chunks_done", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("turn_at", sa.BigInteger()),
        sa.Column("lease_token", sa.String(32), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="jobs_pk"),
        sa.UniqueConstraint("idempotency_key", name="jobs_idempotency_key_unique"),
    )
    op.create_index("jobs_turn", "jobs", ["turn_at", "sent_at"])
    op.create_index("jobs_states", "jobs", ["status", "stored_bytes"])
    op.create_index("jobs_ended", "jobs", ["status", "updated_at"])
    op.create_table(
        "job_chunks",
        sa.Column("job_id", sa.String(32), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("lease_token", sa.String(32), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "chunk", name="job_chunks_pk"),
    )
    op.create_index("job_chunks_open", "job_chunks", ["job_id", "done", "chunk"])
    totals = op.create_table(
        "job_totals",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="job_totals_pk"),
    )
    op.bulk_insert(totals, [{"name": "rows_scored", "total": 0}, {"name": "rows_failed", "total": 0}])


def downgrade() -> None:
    """Remove them."""
    for name in ("job_totals", "job_chunks", "jobs"):
        op.drop_table(name)
