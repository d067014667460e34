"""Predictions, labels with their history, what the feature store is yet to be told, claims, leases, quality."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_FLAGGED = sa.text("decision <> 'approve'")
_PENDING = sa.text("pending")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "predictions",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("transaction_id", sa.String(128), nullable=False),
        sa.Column("customer_id", sa.String(128), nullable=False),
        sa.Column("merchant_id", sa.String(128), nullable=False),
        sa.Column("hashed", sa.Boolean(), nullable=False),
        sa.Column("merchant_category", sa.String(128), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.Column("event_time", sa.BigInteger(), nullable=False),
        sa.Column("offset_seconds", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("raw_score", sa.Double()),
        sa.Column("decision", sa.String(8), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("degraded", sa.Text(), nullable=False),
        sa.Column("reasons", sa.Text()),
        sa.Column("features", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="predictions_pk"),
        sa.UniqueConstraint("transaction_id", "model_version", "model_name", name="predictions_transaction_unique"),
    )
    op.create_index("predictions_created", "predictions", ["created_at", "id"])
    op.create_index("predictions_customer", "predictions", ["customer_id", "created_at", "id"])
    op.create_index("predictions_merchant", "predictions", ["merchant_id", "created_at", "id"])
    op.create_index(
        "predictions_flagged",
        "predictions",
        ["created_at", "id"],
        sqlite_where=_FLAGGED,
        postgresql_where=_FLAGGED,
    )
    op.create_table(
        "labels",
        sa.Column("transaction_id", sa.String(128), nullable=False),
        sa.Column("label", sa.String(10), nullable=False),
        sa.Column("label_time", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(128)),
        sa.Column("analyst", sa.String(128)),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("pending", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("transaction_id", name="labels_pk"),
    )
    op.create_index("labels_pending", "labels", ["created_at"], sqlite_where=_PENDING, postgresql_where=_PENDING)
    op.create_table(
        "label_history",
        sa.Column("transaction_id", sa.String(128), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("label", sa.String(10), nullable=False),
        sa.Column("label_time", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(128)),
        sa.Column("analyst", sa.String(128)),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("transaction_id", "revision", name="label_history_pk"),
    )
    op.create_table(
        "label_outbox",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("transaction_id", sa.String(128), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.Column("label_time", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="label_outbox_pk"),
    )
    op.create_table(
        "claims",
        sa.Column("transaction_id", sa.String(128), nullable=False),
        sa.Column("analyst", sa.String(128), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("transaction_id", name="claims_pk"),
    )
    leases = op.create_table(
        "leases",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("holder", sa.String(32), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="leases_pk"),
    )
    op.bulk_insert(leases, [{"name": "chores", "holder": "", "until": 0}])
    op.create_table(
        "quality",
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("decision", sa.String(8), nullable=False),
        sa.Column("label", sa.String(10), nullable=False),
        sa.Column("transactions", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model_name", "model_version", "role", "decision", "label", name="quality_pk"),
    )


def downgrade() -> None:
    """Remove them."""
    for name in ("quality", "leases", "claims", "label_outbox", "label_history", "labels", "predictions"):
        op.drop_table(name)
