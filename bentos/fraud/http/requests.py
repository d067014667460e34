"""Reading a request: its id, its options, its body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl
from uuid import uuid4

from starlette.types import Receive, Scope

from bentos.core.errors import FieldError, InvalidInput
from bentos.fraud.http.problems import JSON, HttpAnswer, refusal

__all__ = ["Disconnected", "header_map", "query_parameters", "read_body", "refuse_content", "request_id_of"]

_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")
_MAXIMUM_PARAMETERS: Final = 20
#: BentoML's own way to send Python objects between its services. Whoever loads a pickle runs its sender's code.
_PICKLE: Final = "application/vnd.bentoml+pickle"


class Disconnected(Exception):
    """The client went away before its request was complete."""


def header_map(scope: Scope) -> dict[str, str]:
    """Headers by lower-case name; a repeated one's values are joined by commas (RFC 9110, section 5.3)."""
    result: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        result[name] = f"{result[name]}, {value}" if name in result else value
    return result


def request_id_of(headers: Mapping[str, str]) -> str:
    """The caller's x-request-id when it is up to 128 visible ASCII characters, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex


def query_parameters(scope: Scope) -> list[tuple[str, str]]:
    """Query parameters in order.

    Raises
    ------
    InvalidInput
        When there are absurdly many.
    """
    query = scope["query_string"]
    if not query:
        return []
    try:
        return parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAXIMUM_PARAMETERS)
    except ValueError as error:
        raise InvalidInput([FieldError("query", f"at most {_MAXIMUM_PARAMETERS} parameters are read")]) from error


def refuse_content(headers: Mapping[str, str], request_id: str, *, json_only: bool) -> HttpAnswer | None:
    """Refuse what is not to be read: pickles everywhere and, with ``json_only``, all but plain JSON.

    A request that names no type at all is read as JSON.
    """
    given = headers.get("content-type", JSON)
    kind, _, parameters = given.partition(";")
    kind = kind.strip().lower()
    # Anywhere in it: of several types, who reads the request next might take another than this does.
    if _PICKLE in given.lower():
        detail = f"{_PICKLE} is never read: loading a pickle runs its sender's code. Send {JSON}."
        return refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, request_id, {"accept": JSON})
    if not json_only:
        return None
    if kind != JSON and not (kind.startswith("application/") and kind.endswith("+json")):
        detail = f"The body must be {JSON}; say so in the header content-type."
        return refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, request_id, {"accept": JSON})
    charset = parameters.lower().replace(" ", "").replace('"', "").partition("charset=")[2].partition(";")[0]
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        detail = "JSON is UTF-8 (RFC 8259); send no other charset."
        return refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, request_id, {"accept": JSON})
    if headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        detail = "Compressed bodies are not read; send the JSON as it is."
        return refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, request_id, {"accept-encoding": "identity"})
    return None


async def read_body(
    receive: Receive, headers: Mapping[str, str], request_id: str, limit_bytes: int
) -> bytes | HttpAnswer:
    """The request's body, or the refusal of one that is too long, given before it is held in memory.

    Raises
    ------
    Disconnected
        When the client left in the middle.
    """
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit_bytes:
        return _too_long(limit_bytes, request_id)
    parts: list[bytes] = []
    length = 0
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part: bytes = message.get("body", b"")
        length += len(part)
        if length > limit_bytes:
            return _too_long(limit_bytes, request_id)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_long(limit_bytes: int, request_id: str) -> HttpAnswer:
    detail = f"The body is longer than {limit_bytes} bytes. One call takes one transaction."
    return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, request_id)
