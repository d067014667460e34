"""The Open Inference Protocol over HTTP: every path under /v2.

Errors are problem documents as everywhere, with the protocol's own member ``error`` beside the others: its clients show
nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any, Final

from pydantic_core import from_json, to_json

from bentos.fraud.http.problems import JSON, HttpAnswer, error_answer, refusal
from bentos.fraud.http.requests import Disconnected, deadline_of, refuse_content
from bentos.fraud.inference.body import read_body, write_body
from bentos.fraud.inference.dataplane import DataPlane
from bentos.fraud.inference.protocol import SERVER
from bentos.fraud.inference.tensors import refuse

__all__ = ["InferenceCall", "answer", "failure", "find_call"]

#: Length of the JSON, when binary tensors follow it: the protocol's binary tensor extension.
_JSON_BYTES: Final = "inference-header-content-length"
_BINARY: Final = "application/octet-stream"
_SERVER_CALLS: Final = {"/v2": "server_metadata", "/v2/health/live": "server_live", "/v2/health/ready": "server_ready"}
_MODEL_CALLS: Final = {None: "model_metadata", "ready": "model_ready", "infer": "infer"}
_MODEL: Final = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|infer))?")
_UNKNOWN: Final = "other"
_NO_CACHE: Final = {"cache-control": "no-store"}


@dataclass(frozen=True, slots=True)
class InferenceCall:
    """Which call a path means.

    Parameters
    ----------
    name
        One of a few, "other" for a path that means none: fit for a metric's label.
    model, version
        What the path names; empty when it names none.
    """

    name: str
    model: str = ""
    version: str = ""


def find_call(path: str) -> InferenceCall | None:
    """The call of a path, percent-decoded; None for one outside of the protocol, which is not under /v2."""
    if not path.startswith("/v2/") and path != "/v2":
        return None
    if path in _SERVER_CALLS:
        return InferenceCall(_SERVER_CALLS[path])
    found = _MODEL.fullmatch(path)
    if found is None:
        return InferenceCall(_UNKNOWN)
    name, version, verb = found.groups()
    return InferenceCall(_MODEL_CALLS[verb], name, version or "")


async def answer(
    plane: DataPlane,
    call: InferenceCall,
    method: str,
    headers: Mapping[str, str],
    read: Callable[[], Awaitable[bytes | HttpAnswer]],
    guard: Callable[[Coroutine[Any, Any, HttpAnswer]], Awaitable[HttpAnswer]],
    request_id: str,
) -> HttpAnswer:
    """The response to a call, whatever comes of it.

    Parameters
    ----------
    plane
        The worker's model.
    call
        See :func:`find_call`.
    method, headers
        Of the request; names of headers in lower case.
    read
        Gives the body, or the refusal of one that is too long.
    guard
        Awaits a call whose body has been read, and ends it when its client leaves.
    request_id
        Names the request in problem documents.

    Raises
    ------
    Disconnected
        When there is nobody left to respond to.
    """
    try:
        given = _refused(call, method, headers, request_id)
        if given is None:
            given = await _infer(plane, call, headers, read, guard) if call.name == "infer" else _page(plane, call)
    except Disconnected:
        raise
    except Exception as error:  # noqa: BLE001 - the last line of defence: logged, and told to nobody
        return failure(error, request_id)
    return given if given.status is HTTPStatus.OK else _with_error(given)


def failure(error: Exception, request_id: str) -> HttpAnswer:
    """The response to a call that failed."""
    return _with_error(error_answer(error, request_id))


def _refused(call: InferenceCall, method: str, headers: Mapping[str, str], request_id: str) -> HttpAnswer | None:
    if call.name == _UNKNOWN:
        detail = "This address is not of the calls that this server has of the protocol; docs/serving.md names them."
        return refusal(HTTPStatus.NOT_FOUND, detail, request_id)
    allowed = ("POST",) if call.name == "infer" else ("GET", "HEAD")
    if method not in allowed:
        names = ", ".join(allowed)
        detail = f"This address is for {names}, not {method[:16]}."
        return refusal(HTTPStatus.METHOD_NOT_ALLOWED, detail, request_id, {"allow": names})
    if call.name != "infer":
        return None
    kind = headers.get("content-type", JSON).partition(";")[0].strip().lower()
    # What holds for JSON holds for JSON with tensors behind it.
    return refuse_content({**headers, "content-type": JSON} if kind == _BINARY else headers, request_id, json_only=True)


def _page(plane: DataPlane, call: InferenceCall) -> HttpAnswer:
    if call.name == "server_metadata":
        return _json(asdict(SERVER))
    if call.name == "server_live":
        return _json({"live": True})
    # A worker that listens has its model loaded, so it is ready as well.
    if call.name == "server_ready":
        return _json({"ready": True})
    if call.name == "model_metadata":
        return _json(asdict(plane.metadata(call.model, call.version)))
    plane.check_model(call.model, call.version)
    return _json({"name": call.model, "ready": True})


async def _infer(
    plane: DataPlane,
    call: InferenceCall,
    headers: Mapping[str, str],
    read: Callable[[], Awaitable[bytes | HttpAnswer]],
    guard: Callable[[Coroutine[Any, Any, HttpAnswer]], Awaitable[HttpAnswer]],
) -> HttpAnswer:
    # What cannot be done is refused before its body is read: shedding has to be cheaper than answering.
    plane.check_model(call.model, call.version)
    plane.predictor.admit()
    deadline = deadline_of(headers)
    body = await read()
    if isinstance(body, HttpAnswer):
        return body
    return await guard(_inferred(plane, body, _json_bytes(headers, len(body)), deadline))


async def _inferred(plane: DataPlane, content: bytes, json_bytes: int | None, deadline: float | None) -> HttpAnswer:
    request = read_body(content, json_bytes)
    body, head = write_body(await plane.infer(request.request, deadline), request)
    if head is None:
        return HttpAnswer(HTTPStatus.OK, body, headers=_NO_CACHE)
    return HttpAnswer(HTTPStatus.OK, body, _BINARY, {**_NO_CACHE, _JSON_BYTES: str(head)})


def _json_bytes(headers: Mapping[str, str], length: int) -> int | None:
    given = headers.get(_JSON_BYTES)
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= len(str(length)) and 1 <= int(given) <= length):
        raise refuse(_JSON_BYTES, f"must be the length of the JSON, 1 to the body's {length} bytes")
    return int(given)


def _json(content: dict[str, Any]) -> HttpAnswer:
    return HttpAnswer(HTTPStatus.OK, to_json(content), headers=_NO_CACHE)


def _with_error(problem: HttpAnswer) -> HttpAnswer:
    document = from_json(problem.body)
    fields = document.get("errors")
    text = "; ".join(f"{field['path']}: {field['message']}" for field in fields) if fields else document["detail"]
    return HttpAnswer(problem.status, to_json({**document, "error": text}), problem.media_type, problem.headers)
