"""Rollouts: what became of each, and every look at its evidence with its verdicts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "rollouts",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("release", sa.String(63), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger()),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("champion", sa.Text(), nullable=False),
        sa.Column("challenger", sa.Text(), nullable=False),
        sa.Column("writes", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="rollouts_pk"),
        sa.UniqueConstraint("namespace", "release", "name", "began", name="rollouts_name_unique"),
    )
    op.create_table(
        "rollout_looks",
        sa.Column("rollout_id", _NUMBER, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(10), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rollout_id", "at", name="rollout_looks_pk"),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollouts.id"], name="rollout_looks_rollout_id_fk", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    """Remove them."""
    for name in ("rollout_looks", "rollouts"):
        op.drop_table(name)
