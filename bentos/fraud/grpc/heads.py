"""What the headers of a call say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bentos.fraud.grpc.errors import CallStatus, status
from bentos.fraud.grpc.http2.hpack import Headers
from bentos.fraud.grpc.methods import Methods, StreamingMethod, UnaryMethod

__all__ = ["Head", "read_head"]

_TIMEOUT: Final = re.compile(r"(\d{1,8})([HMSmun])")
_SECONDS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_CONTENT_TYPE: Final = "application/grpc"
_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")
_FORBIDDEN: Final = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
_PSEUDO: Final = frozenset((":method", ":scheme", ":authority", ":path"))


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a call before its first message.

    Parameters
    ----------
    metadata
        By lower-case names; values of a repeated one are joined by commas.
    method
        What was called; None when there is no such method.
    timeout_seconds
        How long the caller waits; None when it does not say.
    request_id
        The caller's x-request-id, empty when it has none that is usable.
    refusal
        Why the call is refused, if it is.
    """

    metadata: Mapping[str, str]
    method: UnaryMethod | StreamingMethod | None = None
    timeout_seconds: float | None = None
    request_id: str = ""
    refusal: CallStatus | None = None


def read_head(headers: Headers | None, methods: Methods) -> Head | None:
    """Read the headers of a call.

    Parameters
    ----------
    headers
        In order; None when there are more than are taken.
    methods
        What can be called.

    Returns
    -------
    Head or None
        None when HTTP/2 calls them malformed (RFC 9113, section 8.2 and 8.3).
    """
    if headers is None:
        return Head({}, refusal=status("RESOURCE_EXHAUSTED", "the metadata are longer than 16 KiB"))
    fields = _fields(headers)
    if fields is None or not {":method", ":scheme", ":path"} <= fields.keys():
        return None
    request_id = fields.get("x-request-id", "")
    method = methods.get(fields[":path"])
    timeout, refusal = _timeout(fields), _refusal(fields)
    if refusal is None and method is None:
        refusal = status("UNIMPLEMENTED", f"there is no method {fields[':path'][:200]}")
    return Head(
        {name: value for name, value in fields.items() if not name.startswith(":")},
        method,
        timeout if isinstance(timeout, float) else None,
        request_id if _REQUEST_ID.fullmatch(request_id) else "",
        refusal or (timeout if isinstance(timeout, CallStatus) else None),
    )


def _fields(headers: Headers) -> dict[str, str] | None:
    fields: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name.startswith(":"):
            # They come first, each once.
            if name not in _PSEUDO or name in fields or any(not known.startswith(":") for known in fields):
                return None
        elif not name or name != name.lower() or name in _FORBIDDEN or (name == "te" and value != "trailers"):
            return None
        fields[name] = f"{fields[name]},{value}" if name in fields else value
    return fields


def _refusal(fields: Mapping[str, str]) -> CallStatus | None:
    content_type = fields.get("content-type", "")
    if fields[":method"] != "POST" or content_type.partition("+")[0].partition(";")[0] != _CONTENT_TYPE:
        return status("UNIMPLEMENTED", f"this port is for gRPC: POST of {_CONTENT_TYPE}")
    encoding = fields.get("grpc-encoding", "identity")
    if encoding != "identity":
        return status("UNIMPLEMENTED", f"messages compressed by {encoding[:40]!r} are not read; send identity")
    return None


def _timeout(fields: Mapping[str, str]) -> float | CallStatus | None:
    given = fields.get("grpc-timeout")
    if given is None:
        return None
    match = _TIMEOUT.fullmatch(given)
    if match is None:
        return status("INVALID_ARGUMENT", "grpc-timeout must be up to eight digits and a unit")
    return int(match[1]) * _SECONDS[match[2]]
