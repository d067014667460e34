"""The transaction: what a caller sends, and the columns a table of transactions has."""

from __future__ import annotations

import re
from datetime import UTC, datetime
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
from pydantic_core import InitErrorDetails, PydanticCustomError

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
    "named",
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


_Text = Annotated[str, Field(min_length=1, max_length=128)]
Identifier = Annotated[_Text, AfterValidator(_no_surrogates)]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


class Transaction(BaseModel):
    """A card transaction as it arrives. Unknown fields are refused: a misspelt one would silently be lost."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)

    transaction_id: _Text | None = Field(
        default=None, description="Idempotency key of recording and feedback; made when absent."
    )
    customer_id: _Text = Field(description="The cardholder.")
    merchant_id: _Text = Field(description="The merchant or its terminal.")
    merchant_category: _Text = Field(default="unknown", description="The merchant's category.")
    amount: float = Field(
        ge=0,
        le=MAXIMUM_AMOUNT,
        allow_inf_nan=False,
        description="Amount in the account's currency; 0 is an authorisation.",
    )
    timestamp: Annotated[AwareDatetime, BeforeValidator(textual)] = Field(
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
    def _check(self) -> Transaction:
        # Together rather than field by field: each call from pydantic into Python costs what reading a field does.
        texts = self.customer_id + self.merchant_id + self.merchant_category + (self.transaction_id or "")
        if not (texts.isprintable() and EARLIEST.year < self.timestamp.year < LATEST.year - 1):
            self._refuse_fields()
        if (self.customer_latitude is None) != (self.customer_longitude is None):
            raise ValueError("customer_latitude and customer_longitude come together or not at all")
        if (self.merchant_latitude is None) != (self.merchant_longitude is None):
            raise ValueError("merchant_latitude and merchant_longitude come together or not at all")
        return self

    def _refuse_fields(self) -> None:
        wrong = []
        checks = [(name, _no_surrogates) for name in _TEXTS] + [("timestamp", in_range)]
        for name, check in checks:
            value = getattr(self, name)
            try:
                if value is not None:
                    check(value)
            except ValueError as error:
                kind = PydanticCustomError("value_error", "Value error, {error}", {"error": str(error)})
                wrong.append(InitErrorDetails(type=kind, loc=(name,), input=value))
        if wrong:
            raise ValidationError.from_exception_data("Transaction", wrong)


_TEXTS: Final = ("transaction_id", "customer_id", "merchant_id", "merchant_category")


def named(transaction: Transaction, identity: str) -> Transaction:
    """A copy that bears a transaction_id; as ``model_copy``, at half the time."""
    copy = Transaction.__new__(Transaction)
    write = object.__setattr__
    write(copy, "__dict__", {**transaction.__dict__, "transaction_id": identity})
    write(copy, "__pydantic_fields_set__", {*transaction.__pydantic_fields_set__, "transaction_id"})
    write(copy, "__pydantic_extra__", None)
    write(copy, "__pydantic_private__", None)
    return copy


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970-01-01T00:00Z, exactly."""
    span = instant - EARLIEST
    # A division of spans makes objects, and takes twice as long.
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


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
