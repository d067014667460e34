"""Deliveries of labels to the feature store: their serials, and the random id of this database."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them."""
    op.add_column("label_outbox", sa.Column("serial", sa.BigInteger()))
    op.create_index("label_outbox_serial", "label_outbox", ["serial", "id"])
    sources = op.create_table(
        "label_sources",
        sa.Column("source", sa.LargeBinary(16), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", name="label_sources_pk"),
    )
    op.bulk_insert(sources, [{"source": secrets.token_bytes(16), "serial": 0}])


def downgrade() -> None:
    """Remove them."""
    op.drop_table("label_sources")
    op.drop_index("label_outbox_serial", "label_outbox")
    op.drop_column("label_outbox", "serial")
