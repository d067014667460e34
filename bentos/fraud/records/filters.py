"""Which predictions are asked for, and where a page of them ends."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import ColumnElement, literal_column, or_

from bentos.core.answers import Decision
from bentos.core.errors import FieldError, InvalidInput
from bentos.core.features.history import CUSTOMER, MERCHANT
from bentos.core.records import LabelState
from bentos.fraud.records.identifiers import Identifiers
from bentos.fraud.records.tables import LABELS, PREDICTIONS

__all__ = ["Filters", "Place", "read_cursor", "write_cursor"]

_PLACE: Final = struct.Struct("<qq")


@dataclass(frozen=True, slots=True)
class Place:
    """The last prediction of a page."""

    created_at: int
    id: int


@dataclass(frozen=True, slots=True)
class Filters:
    """What predictions must be; None asks for nothing.

    Parameters
    ----------
    transaction_id, customer_id, merchant_id
        As they were sent.
    decision
        One, or "flagged" for review and block.
    label
        "none" for those without one.
    model_version
        Of the model.
    since, until
        When they were made, microseconds since 1970 UTC: from ``since`` to before ``until``.
    score_from, score_to
        From ``score_from`` to ``score_to``, both included.
    """

    transaction_id: str | None = None
    customer_id: str | None = None
    merchant_id: str | None = None
    decision: Decision | Literal["flagged"] | None = None
    label: LabelState | None = None
    model_version: str | None = None
    since: int | None = None
    until: int | None = None
    score_from: float | None = None
    score_to: float | None = None

    @property
    def names_somebody(self) -> bool:
        """Whether an identifier is given, which records hold as it was sent or hashed."""
        return self.customer_id is not None or self.merchant_id is not None

    def conditions(
        self, identifiers: Identifiers, after: Place | None, *, hashed: bool
    ) -> Iterator[ColumnElement[bool]]:
        """What the database has to look for.

        Parameters
        ----------
        identifiers
            How customers and merchants are written.
        after
            Only what comes after it, newest first.
        hashed
            Which records are meant when an identifier is given.
        """
        table = PREDICTIONS.c
        if self.names_somebody:
            yield table.hashed.is_(hashed)
        if self.transaction_id is not None:
            yield table.transaction_id == self.transaction_id
        if self.customer_id is not None:
            yield table.customer_id == identifiers.form(CUSTOMER, self.customer_id, hashed=hashed)
        if self.merchant_id is not None:
            yield table.merchant_id == identifiers.form(MERCHANT, self.merchant_id, hashed=hashed)
        if self.decision in ("review", "block", "flagged"):
            # In the words of the index of what is flagged, or SQLite does not use it.
            yield table.decision != literal_column("'approve'")
        if self.decision is not None and self.decision != "flagged":
            yield table.decision == self.decision
        if self.label is not None:
            yield LABELS.c.label.is_(None) if self.label == "none" else LABELS.c.label == self.label
        if self.model_version is not None:
            yield table.model_version == self.model_version
        yield from self._ranges()
        if after is not None:
            yield table.created_at <= after.created_at
            yield or_(table.created_at < after.created_at, table.id < after.id)

    def _ranges(self) -> Iterator[ColumnElement[bool]]:
        table = PREDICTIONS.c
        if self.since is not None:
            yield table.created_at >= self.since
        if self.until is not None:
            yield table.created_at < self.until
        if self.score_from is not None:
            yield table.score >= self.score_from
        if self.score_to is not None:
            yield table.score <= self.score_to


def write_cursor(place: Place) -> str:
    """A place as the parameter ``cursor``."""
    return base64.urlsafe_b64encode(_PLACE.pack(place.created_at, place.id)).decode().rstrip("=")


def read_cursor(cursor: str) -> Place:
    """A place from the parameter ``cursor``.

    Raises
    ------
    InvalidInput
        When it is none of ours.
    """
    try:
        return Place(*_PLACE.unpack(base64.b64decode(cursor + "==", altchars=b"-_", validate=True)))
    except (struct.error, binascii.Error, ValueError) as error:
        raise InvalidInput([FieldError("cursor", "must be the next of an answer before")]) from error
