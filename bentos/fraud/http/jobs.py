"""Calls about batch jobs: hand in, ask, hand out, cancel."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from http import HTTPStatus
from time import monotonic
from typing import Any, Final, TypeVar, get_args

from anyio.to_thread import run_sync
from pydantic_core import from_json

from bentos.core.errors import FieldError, InvalidInput, Overloaded
from bentos.core.jobs import Job, ResultForm, SourceForm
from bentos.fraud.http import job_documents as documents
from bentos.fraud.http.problems import JSON, HttpAnswer, refusal
from bentos.fraud.http.retrying import coming_back
from bentos.fraud.http.routes import HttpRequest, Route
from bentos.fraud.jobs.desk import Desk, Options
from bentos.fraud.jobs.files import Upload
from bentos.fraud.jobs.uploads import FORM_OCTETS, Body, FormBody, RawBody, TooLong, boundary_of, form_of
from bentos.fraud.observe.exchange import current_exchange
from bentos.fraud.options import Explain, chosen_options, no_options

__all__ = ["ROUTES"]

ResultT = TypeVar("ResultT")

#: What is collected of an upload before a thread writes it.
_BLOCK: Final = 1024 * 1024
_LONGEST_DOCUMENT: Final = 16 * 1024
_NO_CACHE: Final = {"cache-control": "no-store"}
_RESULT_TYPES: Final[dict[ResultForm, str]] = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv; charset=utf-8",
}
_DEFAULT: Final = Options()
_KEY: Final = re.compile(r"[!-~]{1,255}")
_TYPES_READ: Final = (
    "multipart/form-data, text/csv, application/vnd.apache.parquet, application/x-ndjson, application/json"
)


async def _predict_batch(request: HttpRequest) -> HttpAnswer:
    options = _options(request)
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        return _refuse_type(request, "Compressed bodies are not read; Parquet compresses by itself.")
    if kind == JSON:
        return await _by_uri(request, options)
    if kind == "multipart/form-data":
        return await _by_upload(request, options, None)
    form = form_of(kind)
    if form is None:
        return _refuse_type(request, "The body must be one of them; say which in the header content-type.")
    return await _by_upload(request, options, form)


async def _by_uri(request: HttpRequest, options: Options) -> HttpAnswer:
    body = await request.body(_LONGEST_DOCUMENT)
    if isinstance(body, HttpAnswer):
        return body
    uri, form = _document(body)
    return _accepted(await _in_thread(lambda: _desk(request).submit_uri(uri, form, options)))


async def _by_upload(request: HttpRequest, options: Options, form: SourceForm | None) -> HttpAnswer:
    desk = _desk(request)
    limit = desk.upload_limit_bytes
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit + (FORM_OCTETS if form is None else 0):
        return _too_long(request, limit)
    boundary = boundary_of(request.headers.get("content-type", "")) if form is None else None
    job_id, upload = await _in_thread(desk.open_upload)
    kept = False
    try:
        file = RawBody(upload, form, limit)
        try:
            await _receive(request, file if boundary is None else FormBody(file, boundary))
        except TooLong:
            return _too_long(request, limit)
        except TimeoutError:
            detail = (
                f"The body did not come in time: a client may be silent for {desk.upload_idle_seconds:g} seconds at"
                f" most, and take {desk.upload_seconds:g} for the whole."
            )
            return refusal(HTTPStatus.REQUEST_TIMEOUT, detail, request.request_id, {"connection": "close"})
        if file.form is None:
            raise TypeError("a body that came as a whole has a form")
        kept, form = True, file.form
        job = await _in_thread(lambda: desk.submit_upload(job_id, upload, form, file.digest, file.size, options))
    finally:
        if not kept:
            await _discard(upload)
    return _accepted(job)


async def _receive(request: HttpRequest, body: Body) -> None:
    """Hand a body over in blocks, written by a thread while the next one comes."""
    desk, room, held = _desk(request), request.endpoints.room, bytearray()
    parts: Any = request.parts()
    ends = monotonic() + desk.upload_seconds
    try:
        more = True
        while more:
            try:
                async with asyncio.timeout(min(desk.upload_idle_seconds, ends - monotonic())):
                    part = await anext(parts)
            except StopAsyncIteration:
                part, more = b"", False
            if not room.take(len(part)):
                held += part
                raise Overloaded("too many unfinished bodies are held already; try again")
            held += part
            if len(held) >= _BLOCK or (held and not more):
                block, held = bytes(held), bytearray()
                try:
                    await _in_thread(lambda block=block: body.write(block))  # type: ignore[misc]
                finally:
                    room.give_back(len(block))
        await _in_thread(body.end)
    finally:
        room.give_back(len(held))
        await parts.aclose()


async def _discard(upload: Upload) -> None:
    # Even when this request is being cancelled.
    await asyncio.shield(asyncio.ensure_future(run_sync(upload.discard)))


async def _job_status(request: HttpRequest) -> HttpAnswer:
    no_options(request.parameters)
    return _json(await _in_thread(lambda: _desk(request).job(request.arguments["job_id"])))


async def _job_cancel(request: HttpRequest) -> HttpAnswer:
    no_options(request.parameters)
    return _json(await _in_thread(lambda: _desk(request).cancel(request.arguments["job_id"])))


async def _job_result(request: HttpRequest) -> HttpAnswer:
    given = chosen_options(request.parameters, {"format": get_args(ResultForm)}).get("format")
    wanted: ResultForm | None = "parquet" if given == "parquet" else "csv" if given == "csv" else None
    job_id = request.arguments["job_id"]
    parts, form = await _in_thread(lambda: _desk(request).result(job_id, wanted))
    headers = _NO_CACHE | {"content-disposition": f'attachment; filename="{job_id}.{form}"'}
    return HttpAnswer(HTTPStatus.OK, b"", _RESULT_TYPES[form], headers, _streamed(request, parts))


async def _streamed(request: HttpRequest, parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    """What a thread reads, piece by piece, as long as there is somebody to take it."""
    iterator = iter(parts)
    leaving = asyncio.ensure_future(_left(request))
    try:
        while not leaving.done() and (part := await _in_thread(lambda: next(iterator, None))) is not None:
            yield part
    finally:
        leaving.cancel()
        if (close := getattr(iterator, "close", None)) is not None:
            await asyncio.shield(asyncio.ensure_future(run_sync(close)))


async def _left(request: HttpRequest) -> None:
    message: Any = {}
    while message.get("type") != "http.disconnect":
        message = await request.receive()


def _desk(request: HttpRequest) -> Desk:
    return request.endpoints.application.jobs


async def _in_thread(work: Callable[[], ResultT]) -> ResultT:
    return await run_sync(work)


def _options(request: HttpRequest) -> Options:
    allowed = {"explain": get_args(Explain), "format": get_args(ResultForm)}
    chosen: dict[str, Any] = dict(chosen_options(request.parameters, allowed))
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidInput([FieldError("idempotency-key", "must be 1 to 255 visible ASCII characters")])
    exchange = current_exchange()
    caller = exchange.caller.name if exchange is not None and exchange.caller is not None else ""
    return Options(chosen.get("explain", _DEFAULT.explain), chosen.get("format", _DEFAULT.result_form), key, caller)


def _document(body: bytes) -> tuple[str, SourceForm]:
    try:
        document = from_json(body)
    except ValueError as error:
        raise InvalidInput([FieldError("body", f"is not JSON: {error}")]) from error
    if not isinstance(document, dict) or not {"uri"} <= document.keys() <= {"uri", "format"}:
        raise InvalidInput([FieldError("body", 'must be an object {"uri": …, "format": …} and nothing else')])
    uri, given = document["uri"], document.get("format")
    if not isinstance(uri, str):
        raise InvalidInput([FieldError("uri", "must be text")])
    form = form_of("", uri) if given is None else given if given in get_args(SourceForm) else None
    if form is None:
        raise InvalidInput([FieldError("format", f"must be one of {', '.join(get_args(SourceForm))}")])
    return uri, form


def _accepted(job: Job) -> HttpAnswer:
    # Relative (RFC 9110, section 10.2.2): the service may stand below a path that it does not know.
    headers = _NO_CACHE | {"location": f"job_status/{job.job_id}"}
    return HttpAnswer(HTTPStatus.ACCEPTED, job.model_dump_json().encode(), headers=headers)


def _json(job: Job) -> HttpAnswer:
    return HttpAnswer(HTTPStatus.OK, job.model_dump_json().encode(), headers=_NO_CACHE)


def _refuse_type(request: HttpRequest, detail: str) -> HttpAnswer:
    text = f"{detail} This call reads {_TYPES_READ}."
    return refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text, request.request_id, {"accept": _TYPES_READ})


def _too_long(request: HttpRequest, limit_bytes: int) -> HttpAnswer:
    detail = f"The file is larger than {limit_bytes} bytes, which is the most that is uploaded; give a URI instead."
    return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, request.request_id)


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "POST",
        "/predict_batch",
        "predict_batch",
        "score",
        coming_back(_predict_batch),
        "Take a file of transactions, to be scored in the background.",
        documents.PREDICT_BATCH,
        HTTPStatus.ACCEPTED,
    ),
    Route(
        "GET",
        "/job_status/{job_id}",
        "job_status",
        "score",
        coming_back(_job_status),
        "State of a job.",
        documents.JOB_STATUS,
    ),
    Route(
        "GET",
        "/job_result/{job_id}",
        "job_result",
        "score",
        coming_back(_job_result),
        "Result of a completed job: the rows of the input, in order, with their scores.",
        documents.JOB_RESULT,
    ),
    Route(
        "POST",
        "/job_cancel/{job_id}",
        "job_cancel",
        "score",
        coming_back(_job_cancel),
        "Cancel a job. One that is cancelled already stays so.",
        documents.JOB_CANCEL,
    ),
)
