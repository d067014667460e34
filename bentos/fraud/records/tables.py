"""Tables of predictions and labels. Instants are microseconds since 1970 UTC."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from bentos.fraud.records.metadata import METADATA

__all__ = [
    "CLAIMS",
    "LABELS",
    "LABEL_HISTORY",
    "LABEL_OUTBOX",
    "LABEL_SOURCES",
    "LEASES",
    "PREDICTIONS",
    "QUALITY",
    "ROLLOUTS",
    "ROLLOUT_LOOKS",
    "SHADOW_PAIRS",
    "SHADOW_QUALITY",
    "WAITING",
    "from_labels",
]

#: SQLite numbers rows by itself only when the column is exactly INTEGER.
_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")

#: One row per transaction and model; the first wins.
#:
#: id              ascends roughly with created_at; breaks ties when paging
#: customer_id     as sent, or in hexadecimal the key of the feature store when ``hashed``; merchant_id likewise
#: event_time      the transaction's timestamp; offset_seconds keeps the customer's clock
#: raw_score       NULL when the rules answered, not the model
#: degraded        names, separated by commas
#: reasons         JSON; NULL when there are none
#: features        21 float64, little-endian, in the order of FEATURES
#: block_review_share  share of blocks that went to review, when this was one of them; NULL for all others
PREDICTIONS: Final = Table(
    "predictions",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("transaction_id", String(128), nullable=False),
    Column("customer_id", String(128), nullable=False),
    Column("merchant_id", String(128), nullable=False),
    Column("hashed", Boolean, nullable=False),
    Column("merchant_category", String(128), nullable=False),
    Column("amount", Double, nullable=False),
    Column("event_time", BigInteger, nullable=False),
    Column("offset_seconds", Integer, nullable=False),
    Column("score", Double, nullable=False),
    Column("raw_score", Double),
    Column("decision", String(8), nullable=False),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("degraded", Text, nullable=False),
    Column("reasons", Text),
    Column("features", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("block_review_share", Double),
    UniqueConstraint("transaction_id", "model_version", "model_name", name="predictions_transaction_unique"),
    Index("predictions_created", "created_at", "id"),
    Index("predictions_customer", "customer_id", "created_at", "id"),
    Index("predictions_merchant", "merchant_id", "created_at", "id"),
    # What analysts look for is rare; their queue must not walk through all that was approved.
    Index(
        "predictions_flagged",
        "created_at",
        "id",
        sqlite_where=text("decision <> 'approve'"),
        postgresql_where=text("decision <> 'approve'"),
    ),
)

#: The label that counts, one row per transaction.
#:
#: revision   how often it was changed, from 1; 0 is a place that is taken while its first label is written
#: pending    whether no prediction of that transaction has been seen
LABELS: Final = Table(
    "labels",
    METADATA,
    Column("transaction_id", String(128), primary_key=True),
    Column("label", String(10), nullable=False),
    Column("label_time", BigInteger, nullable=False),
    Column("source", String(128)),
    Column("analyst", String(128)),
    Column("revision", Integer, nullable=False),
    Column("pending", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("labels_pending", "created_at", sqlite_where=text("pending"), postgresql_where=text("pending")),
)

#: Of labels: that they wait for a prediction. In the words of their index, or SQLite reads all labels instead.
WAITING: Final = text("labels.pending")

#: Every label that ever counted.
LABEL_HISTORY: Final = Table(
    "label_history",
    METADATA,
    Column("transaction_id", String(128), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("label", String(10), nullable=False),
    Column("label_time", BigInteger, nullable=False),
    Column("source", String(128)),
    Column("analyst", String(128)),
    Column("created_at", BigInteger, nullable=False),
)

#: What the feature store has yet to be told.
#:
#: event        keys (48 bytes), identity and time (8 bytes each, little-endian) of an EventKey
#: label_time   NULL takes a label back
#: serial       in this order it is told; NULL until the row's turn has come
LABEL_OUTBOX: Final = Table(
    "label_outbox",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("transaction_id", String(128), nullable=False),
    Column("event", LargeBinary, nullable=False),
    Column("label_time", BigInteger),
    Column("serial", BigInteger),
    Index("label_outbox_serial", "serial", "id"),
)

#: By what the feature store knows this database; one row.
#:
#: source   16 random bytes
#: serial   the last one that was given to a row of the outbox
LABEL_SOURCES: Final = Table(
    "label_sources",
    METADATA,
    Column("source", LargeBinary(16), primary_key=True),
    Column("serial", BigInteger, nullable=False),
)

#: Which analyst looks at a transaction, and until when it is his.
CLAIMS: Final = Table(
    "claims",
    METADATA,
    Column("transaction_id", String(128), primary_key=True),
    Column("analyst", String(128), nullable=False),
    Column("until", BigInteger, nullable=False),
)

#: What one process does for all, such as telling the feature store: who does it, and until when he is believed to live.
LEASES: Final = Table(
    "leases",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("holder", String(32), nullable=False),
    Column("until", BigInteger, nullable=False),
)

#: Labelled predictions of each model by decision and label, as last counted; all workers show them.
QUALITY: Final = Table(
    "quality",
    METADATA,
    Column("model_name", Text, primary_key=True),
    Column("model_version", Text, primary_key=True),
    Column("role", String(16), primary_key=True),
    Column("decision", String(8), primary_key=True),
    Column("label", String(10), primary_key=True),
    Column("transactions", BigInteger, nullable=False),
)

#: What a challenger in the shadow says of a prediction of the champion; it goes with that prediction.
#:
#: created_at   the prediction's
SHADOW_PAIRS: Final = Table(
    "shadow_pairs",
    METADATA,
    Column("prediction_id", _NUMBER, ForeignKey("predictions.id", ondelete="CASCADE"), primary_key=True),
    Column("challenger_version", Text, primary_key=True),
    Column("challenger_name", Text, primary_key=True),
    Column("score", Double, nullable=False),
    Column("decision", String(8), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("shadow_pairs_created", "created_at"),
)

#: Labelled pairs, as last counted; all workers show them. The columns are those of ``Cell`` and ``Count`` in
#: :mod:`.pair_quality`.
SHADOW_QUALITY: Final = Table(
    "shadow_quality",
    METADATA,
    Column("champion_name", Text, primary_key=True),
    Column("champion_version", Text, primary_key=True),
    Column("challenger_name", Text, primary_key=True),
    Column("challenger_version", Text, primary_key=True),
    Column("budget", String(8), primary_key=True),
    Column("label", String(10), primary_key=True),
    Column("champion_alert", Boolean, primary_key=True),
    Column("challenger_alert", Boolean, primary_key=True),
    Column("blocked", String(8), primary_key=True),
    Column("transactions", BigInteger, nullable=False),
    Column("weight", Double, nullable=False),
    Column("amount", Double, nullable=False),
    Column("amount_squared", Double, nullable=False),
)

#: Rollouts, under way and ended, as their controller wrote them last.
#:
#: name, began  one name may come again after its ConfigMap was deleted
#: writes       how often the controller has written it: what is older does not replace what is newer
#: document     JSON of ``k8s.rollout.record.Rollout`` without its looks
ROLLOUTS: Final = Table(
    "rollouts",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("namespace", String(63), nullable=False),
    Column("release", String(63), nullable=False),
    Column("name", String(63), nullable=False),
    Column("began", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("phase", String(16), nullable=False),
    Column("champion", Text, nullable=False),
    Column("challenger", Text, nullable=False),
    Column("writes", Integer, nullable=False),
    Column("document", Text, nullable=False),
    UniqueConstraint("namespace", "release", "name", "began", name="rollouts_name_unique"),
)

#: Every look of a rollout at its evidence.
#:
#: document   JSON of ``k8s.rollout.record.Look``: what was decided and why, the verdict of each gate with its numbers
ROLLOUT_LOOKS: Final = Table(
    "rollout_looks",
    METADATA,
    Column("rollout_id", _NUMBER, ForeignKey("rollouts.id", ondelete="CASCADE"), primary_key=True),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("step", Integer, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("action", String(10), nullable=False),
    Column("document", Text, nullable=False),
)


def from_labels(connection: Connection) -> ColumnElement[str]:
    """The transactions of the labels, for a join with predictions that is to begin at the labels, which are few.

    SQLite would rather look for a label of every prediction; it uses no index for an expression.
    """
    column = LABELS.c.transaction_id
    return column.concat("") if connection.dialect.name == "sqlite" else column
