"""The transaction: what a caller sends, and the columns a table of transactions has."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from bentos.core.errors import FieldError, InvalidInput

__all__ = [
    "CANONICAL_COLUMNS",
    "EARLIEST",
    "LABEL_COLUMNS",
    "LATEST",
    "MAXIMUM_AMOUNT",
    "TRANSACTION_COLUMNS",
    "Identifier",
    "Transaction",
    "field_errors",
    "in_range",
    "microseconds",
    "parse_transaction",
    "textual",
]

MAXIMUM_AMOUNT: Final = 1e7

#: Columns of a canonical table of transactions, with their pandas dtypes. A missing coordinate is NaN.
#: ``timestamp`` is the instant; ``utc_offset_seconds`` keeps the clock that the customer looked at.
TRANSACTION_COLUMNS: Final[dict[str, str]] = {
    "transaction_id": "str",
    "customer_id": "str",
    "merchant_id": "str",
    "merchant_category": "str",
    "amount": "float64",
    "timestamp": "datetime64[us, UTC]",
    "utc_offset_seconds": "int32",
    "customer_latitude": "float64",
    "customer_longitude": "float64",
    "merchant_latitude": "float64",
    "merchant_longitude": "float64",
}

#: What a labelled table has besides. ``label_timestamp`` is the label's own arrival; NaT means
#: that it arrived in time, that is at most the label delay after the transaction.
LABEL_COLUMNS: Final[dict[str, str]] = {"is_fraud": "bool", "label_timestamp": "datetime64[us, UTC]"}

#: Names and pandas dtypes of the columns of a labelled table, in order.
CANONICAL_COLUMNS: Final[dict[str, str]] = {**TRANSACTION_COLUMNS, **LABEL_COLUMNS}

#: Instants from EARLIEST to before LATEST are taken.
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)


_DAY_AND_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt _]")


def textual(value: object) -> object:
    """A validator that takes text with day and time, and nothing else, for an instant."""
    # Pydantic would read a number, bare or as text, as seconds since 1970, which says nothing of the customer's clock.
    if isinstance(value, datetime) or (isinstance(value, str) and _DAY_AND_TIME.match(value)):
        return value
    raise ValueError("expected RFC 3339 text with an offset, such as 2026-01-31T12:00:00+01:00")


def in_range(value: datetime) -> datetime:
    """A validator of instants that can be kept."""
    if not EARLIEST <= value < LATEST:
        raise ValueError(f"must lie from {EARLIEST.date()} to before {LATEST.date()}, got {value.isoformat()}")
    return value


def _no_surrogates(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must hold printable characters only")
    return value


Identifier = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_no_surrogates)]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


class Transaction(BaseModel):
    """A card transaction as it arrives. Unknown fields are refused: a misspelt one would silently be lost."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)

    transaction_id: Identifier | None = Field(
        default=None, description="Idempotency key of recording and feedback; made when absent."
    )
    customer_id: Identifier = Field(description="The cardholder.")
    merchant_id: Identifier = Field(description="The merchant or its terminal.")
    merchant_category: Identifier = Field(default="unknown", description="The merchant's category.")
    amount: float = Field(
        ge=0,
        le=MAXIMUM_AMOUNT,
        allow_inf_nan=False,
        description="Amount in the account's currency; 0 is an authorisation.",
    )
    timestamp: Annotated[AwareDatetime, BeforeValidator(textual), AfterValidator(in_range)] = Field(
        description="RFC 3339 with an offset: the clock the customer looked at."
    )
    customer_latitude: Latitude | None = Field(
        default=None, description="Degrees; with customer_longitude or not at all."
    )
    customer_longitude: Longitude | None = Field(
        default=None, description="Degrees; with customer_latitude or not at all."
    )
    merchant_latitude: Latitude | None = Field(
        default=None, description="Degrees; with merchant_longitude or not at all."
    )
    merchant_longitude: Longitude | None = Field(
        default=None, description="Degrees; with merchant_latitude or not at all."
    )

    @model_validator(mode="after")
    def _pairs(self) -> Transaction:
        if (self.customer_latitude is None) != (self.customer_longitude is None):
            raise ValueError("customer_latitude and customer_longitude come together or not at all")
        if (self.merchant_latitude is None) != (self.merchant_longitude is None):
            raise ValueError("merchant_latitude and merchant_longitude come together or not at all")
        return self


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970-01-01T00:00Z, exactly."""
    return (instant - EARLIEST) // timedelta(microseconds=1)


def field_errors(error: ValidationError, prefix: str = "") -> list[FieldError]:
    """Flatten pydantic's errors to paths and messages, without echoing the input or any link."""
    result = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        path = ".".join(str(part) for part in item["loc"])
        result.append(
            FieldError(f"{prefix}{path}".rstrip(".") or "transaction", item["msg"].removeprefix("Value error, "))
        )
    return result


def parse_transaction(payload: bytes | str) -> Transaction:
    """Read one transaction from JSON.

    Raises
    ------
    InvalidInput
        With the path and the message of every wrong field.
    """
    try:
        return Transaction.model_validate_json(payload)
    except ValidationError as error:
        raise InvalidInput(field_errors(error)) from error
