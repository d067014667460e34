"""Pairs: what a challenger in the shadow says of the champion's predictions, and how good both are by labels."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them."""
    op.add_column("predictions", sa.Column("block_review_share", sa.Double()))
    op.create_table(
        "shadow_pairs",
        sa.Column("prediction_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("challenger_name", sa.Text(), nullable=False),
        sa.Column("challenger_version", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("decision", sa.String(8), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("prediction_id", "challenger_version", "challenger_name", name="shadow_pairs_pk"),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["predictions.id"], name="shadow_pairs_prediction_id_fk", ondelete="CASCADE"
        ),
    )
    op.create_index("shadow_pairs_created", "shadow_pairs", ["created_at"])
    op.create_table(
        "shadow_quality",
        sa.Column("champion_name", sa.Text(), nullable=False),
        sa.Column("champion_version", sa.Text(), nullable=False),
        sa.Column("challenger_name", sa.Text(), nullable=False),
        sa.Column("challenger_version", sa.Text(), nullable=False),
        sa.Column("budget", sa.String(8), nullable=False),
        sa.Column("label", sa.String(10), nullable=False),
        sa.Column("champion_alert", sa.Boolean(), nullable=False),
        sa.Column("challenger_alert", sa.Boolean(), nullable=False),
        sa.Column("blocked", sa.String(8), nullable=False),
        sa.Column("transactions", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.Column("amount_squared", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint(
            "champion_name",
            "champion_version",
            "challenger_name",
            "challenger_version",
            "budget",
            "label",
            "champion_alert",
            "challenger_alert",
            "blocked",
            name="shadow_quality_pk",
        ),
    )


def downgrade() -> None:
    """Remove them."""
    for name in ("shadow_quality", "shadow_pairs"):
        op.drop_table(name)
    op.drop_column("predictions", "block_review_share")
