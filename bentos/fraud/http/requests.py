"""Reading a request: its id, its options, its body."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus
from time import monotonic
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import Receive

from bentos.core.errors import FieldError, InvalidInput, Overloaded
from bentos.fraud.http.problems import JSON, HttpAnswer, refusal
from bentos.fraud.ids import new_id
from bentos.fraud.room import Room

__all__ = [
    "Disconnected",
    "deadline_of",
    "header_map",
    "query_parameters",
    "read_body",
    "refuse_content",
    "request_id_of",
]

_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")
_DEADLINE: Final = "x-fraud-deadline-ms"
_MAXIMUM_PARAMETERS: Final = 20
_MAXIMUM_QUERY_BYTES: Final = 8192
#: BentoML's own way to send Python objects between its services. Whoever loads a pickle runs its sender's code.
_PICKLE: Final = "application/vnd.bentoml+pickle"


class Disconnected(Exception):
    """The client went away before its request was complete."""


def header_map(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; a repeated one's values are joined by commas (RFC 9110, section 5.3)."""
    result: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        result[name] = f"{result[name]}, {value}" if name in result else value
    return result


def request_id_of(headers: Mapping[str, str]) -> str:
    """The caller's x-request-id when it is up to 128 visible ASCII characters, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else new_id()


def deadline_of(headers: Mapping[str, str]) -> float | None:
    """When the caller stops waiting, by its x-fraud-deadline-ms: ``time.monotonic()`` seconds, None when it is silent.

    Raises
    ------
    InvalidInput
        When it is not a whole number of milliseconds from 1 to 600,000.
    """
    given = headers.get(_DEADLINE)
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= 6 and 1 <= int(given) <= 600_000):
        raise InvalidInput([FieldError(_DEADLINE, "must be whole milliseconds from 1 to 600000")])
    return monotonic() + int(given) / 1000


@lru_cache(maxsize=256)
def query_parameters(query: bytes) -> tuple[tuple[str, str], ...]:
    """Query parameters in order.

    Callers send the same few over and over.

    Raises
    ------
    InvalidInput
        When they are absurdly many or long.
    """
    if len(query) > _MAXIMUM_QUERY_BYTES:
        raise InvalidInput([FieldError("query", f"at most {_MAXIMUM_QUERY_BYTES} bytes are read")])
    try:
        return tuple(parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAXIMUM_PARAMETERS))
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
    receive: Receive, headers: Mapping[str, str], request_id: str, limit_bytes: int, room: Room
) -> bytes | HttpAnswer:
    """The request's body, or the refusal of one that is too long, given before it is held in memory.

    Parameters
    ----------
    room
        For what is held of bodies whose end has not come.

    Raises
    ------
    Disconnected
        When the client left in the middle.
    Overloaded
        When unfinished bodies fill the room.
    """
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit_bytes:
        return _too_long(limit_bytes, request_id)
    part, more = await _next_part(receive)
    if not more:
        return part if len(part) <= limit_bytes else _too_long(limit_bytes, request_id)
    body = bytearray()
    held = 0
    try:
        while True:
            if len(body) + len(part) > limit_bytes:
                return _too_long(limit_bytes, request_id)
            held += len(part)
            if not room.take(len(part)):
                raise Overloaded("too many unfinished bodies are held already; try again")
            body += part
            if not more:
                return bytes(body)
            part, more = await _next_part(receive)
    finally:
        room.give_back(held)


async def _next_part(receive: Receive) -> tuple[bytes, bool]:
    message: Any = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message.get("body", b""), message.get("more_body", False)


def _too_long(limit_bytes: int, request_id: str) -> HttpAnswer:
    detail = f"The body is longer than {limit_bytes} bytes, which is the most that this call takes."
    return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, request_id)
