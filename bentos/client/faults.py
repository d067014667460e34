"""From statuses of both transports back to the errors of ``bentos.core.errors``."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from bentos.core.errors import (
    WIRE_STATUS,
    Conflict,
    Expired,
    FieldError,
    FraudError,
    InvalidInput,
    NotAllowed,
    NotFound,
    Overloaded,
    Unauthenticated,
    Unavailable,
)

__all__ = ["BY_GRPC", "BY_HTTP", "made"]

# Other kinds share their line of the table with one of these, and mean nothing to a caller.
_KINDS: Final[tuple[type[FraudError], ...]] = (
    InvalidInput,
    Conflict,
    # gRPC has one code for this and what never was.
    Expired,
    NotFound,
    NotAllowed,
    Unauthenticated,
    Overloaded,
    Unavailable,
)

#: Kinds by status; every other status is a plain ``FraudError``. What comes besides the service's own is of gateways,
#: and of a server that refuses a call before it reads it.
BY_HTTP: Final[dict[int, type[FraudError]]] = {
    HTTPStatus.BAD_REQUEST: InvalidInput,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: InvalidInput,
    HTTPStatus.REQUEST_TIMEOUT: Unavailable,
    HTTPStatus.BAD_GATEWAY: Unavailable,
    HTTPStatus.GATEWAY_TIMEOUT: Unavailable,
    **{WIRE_STATUS[kind].http: kind for kind in _KINDS},
}

#: The same by gRPC's names. A deadline that passed is no overload: work may have been done.
BY_GRPC: Final[dict[str, type[FraudError]]] = {
    "DEADLINE_EXCEEDED": Unavailable,
    "CANCELLED": Unavailable,
    **{WIRE_STATUS[kind].grpc: kind for kind in _KINDS},
}


def made(
    kind: type[FraudError], detail: str, fields: Sequence[FieldError] = (), retry_after_seconds: int | None = None
) -> FraudError:
    """An error of a kind from what was told about it.

    Parameters
    ----------
    kind
        One of the values of the tables, or ``FraudError``.
    detail
        In words.
    fields
        The wrong fields of invalid input; when none is named, the detail is of the whole.
    retry_after_seconds
        Of an overload; None means that nothing was said.
    """
    if kind is InvalidInput:
        return InvalidInput(list(fields) or [FieldError("request", detail)])
    if kind is Overloaded and retry_after_seconds is not None:
        return Overloaded(detail, retry_after_seconds)
    return kind(detail)
