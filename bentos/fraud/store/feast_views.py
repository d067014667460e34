"""What a Feast repository holds of the features: entities, views and their fields, made from the definitions.

One row of a view is one key. Its state, which the service computes every feature from, is one field of bytes; the
others are for people and programs that read Feast: the key's features as they stood for the transaction of it that was
recorded last. They do not move with time, the state's windows do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from bentos.core.features.definitions import FEATURES, Feature
from bentos.core.features.history import KINDS, KeyKind

__all__ = [
    "NEWEST",
    "NOTES",
    "NOTES_FILLED",
    "NOTES_KEY",
    "NOTES_SERIAL",
    "NOTES_SOURCE",
    "ON_DEMAND",
    "REQUEST",
    "SCHEMA_TAG",
    "SECRET_TAG",
    "VIEWS",
    "Field",
    "KeyView",
    "View",
    "features_of",
]

#: Tags of every view, by which a service knows that it may use it.
SCHEMA_TAG: Final = "feature_schema"
SECRET_TAG: Final = "pseudonym_key"  # noqa: S105 - the name of its fingerprint

FieldType = Literal["Bytes", "Float64", "Int64", "UnixTimestamp"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a view.

    Parameters
    ----------
    name, type
        As Feast calls them.
    description
        One line.
    """

    name: str
    type: FieldType
    description: str


@dataclass(frozen=True, slots=True)
class View:
    """A feature view, its entity and its push source.

    Parameters
    ----------
    name
        Of the view.
    entity
        Of what its rows are.
    description
        One line.
    fields
        Of a row.
    """

    name: str
    entity: str
    description: str
    fields: tuple[Field, ...]

    @property
    def join_key(self) -> str:
        """Name of the entity's key."""
        return f"{self.entity}_key"

    @property
    def push_source(self) -> str:
        """Name of what rows are pushed to."""
        return f"{self.entity}_push"


@dataclass(frozen=True, slots=True)
class KeyView(View):
    """The view of one kind of key.

    Parameters
    ----------
    state
        Name of the field that holds the state, see :mod:`.feast_state`.
    recorded_at
        Name of the field with the instant of the transaction that was recorded last.
    """

    state: str
    recorded_at: str


def features_of(kind: KeyKind) -> list[tuple[int, Feature]]:
    """The features made from the history of a kind of key, each with its column among all."""
    return [(column, feature) for column, feature in enumerate(FEATURES) if feature.source == kind.name]


def _view(kind: KeyKind) -> KeyView:
    words = kind.name.replace("_", " ")
    state, recorded_at = f"{kind.name}_state", f"{kind.name}_recorded_at"
    fields = (
        Field(state, "Bytes", "All that is known of the past; what the fraud service reads and writes."),
        Field(recorded_at, "UnixTimestamp", "Instant of the transaction that was recorded last."),
        *(Field(feature.name, "Float64", feature.description) for _, feature in features_of(kind)),
    )
    description = f"History of each {words}, and its features for the transaction of it that was recorded last."
    return KeyView(f"{kind.name}_history", kind.name, description, fields, state, recorded_at)


VIEWS: Final[dict[KeyKind, KeyView]] = {kind: _view(kind) for kind in KINDS}

NEWEST: Final = "newest_transaction_at"
NOTES_FILLED: Final = "filled"
NOTES_SOURCE: Final = "label_source"
NOTES_SERIAL: Final = "label_serial"
#: The one row of :data:`NOTES`.
NOTES_KEY: Final = b"features"
NOTES: Final = View(
    "feature_store_notes",
    "feature_store",
    "What the fraud service notes of the store as a whole.",
    (
        Field(NEWEST, "Int64", "Time of the newest recorded transaction, microseconds since 1970 UTC."),
        Field(NOTES_FILLED, "Int64", "1 once a bento's snapshot has been taken over."),
        Field(NOTES_SOURCE, "Bytes", "Who told the last label."),
        Field(NOTES_SERIAL, "Int64", "Highest serial of that teller's labels."),
    ),
)

#: Name of the view that computes all features of a transaction on demand, and what it must be told beside the keys.
ON_DEMAND: Final = "transaction_features"
REQUEST: Final = (
    Field("transaction_time", "Int64", "Instant of the transaction, microseconds since 1970 UTC."),
    Field("utc_offset_seconds", "Int64", "Offset of the customer's clock."),
    Field("transaction_amount", "Float64", "Its amount."),
    Field("customer_latitude", "Float64", "Degrees; NaN when not known, as the three that follow."),
    Field("customer_longitude", "Float64", "Degrees."),
    Field("merchant_latitude", "Float64", "Degrees."),
    Field("merchant_longitude", "Float64", "Degrees."),
)
