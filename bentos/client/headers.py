"""Headers of a call: HTTP's, or gRPC's metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from bentos.core.errors import FieldError, InvalidInput

__all__ = ["DEADLINE", "REQUEST_ID", "call_headers"]

REQUEST_ID: Final = "x-request-id"
DEADLINE: Final = "x-fraud-deadline-ms"

# What both transports can carry as it is.
_NAME: Final = re.compile(r"[a-z0-9_.-]+")
_VALUE: Final = re.compile(r"[!-~]([ -~]*[!-~])?")
_LONGEST_REQUEST_ID: Final = 128
#: Made by the client or by its libraries. ``-bin`` means bytes to gRPC.
_RESERVED: Final = re.compile(
    r"authorization|host|te|connection|transfer-encoding|user-agent|content-.*|x-fraud-.*|grpc-.*|.*-bin"
)


def call_headers(given: Mapping[str, str] | None) -> dict[str, str]:
    """The caller's headers by lower-case name, with an x-request-id in any case.

    Raises
    ------
    InvalidInput
        For each that cannot be sent, without its value.
    """
    headers = {name.lower(): value for name, value in (given or {}).items()}
    errors = []
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name):
            errors.append(FieldError(f"headers.{name!r}", "is no header that a caller may set"))
        elif not _VALUE.fullmatch(value):
            errors.append(FieldError(f"headers.{name}", "must be printable ASCII, without spaces at its ends"))
    request_id = headers.setdefault(REQUEST_ID, uuid4().hex)
    if len(request_id) > _LONGEST_REQUEST_ID or " " in request_id:
        errors.append(FieldError(f"headers.{REQUEST_ID}", f"must be at most {_LONGEST_REQUEST_ID} visible characters"))
    if errors:
        raise InvalidInput(errors)
    return headers
