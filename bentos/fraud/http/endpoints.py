"""The calls of the HTTP interface, from what was sent to a whole response. Raise nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from http import HTTPStatus
from json.encoder import encode_basestring_ascii
from time import perf_counter
from typing import Final, TypeVar

from pydantic import BaseModel

from bentos.core.answers import Prediction
from bentos.core.transaction import Transaction, parse_transaction
from bentos.fraud.application import Application
from bentos.fraud.http import drift, feedback, jobs, records
from bentos.fraud.http.docs import DOCS_PAGE
from bentos.fraud.http.many import ManyRow, read_transactions, write_results
from bentos.fraud.http.problems import HttpAnswer, error_answer
from bentos.fraud.http.requests import Disconnected
from bentos.fraud.http.routes import Route, Router
from bentos.fraud.inference.dataplane import DataPlane
from bentos.fraud.metrics import CONTENT_TYPE
from bentos.fraud.options import no_options, predict_options
from bentos.fraud.room import UNFINISHED_CALLS, Room

__all__ = ["CALLS", "ROUTES", "Endpoints"]

AnswerT = TypeVar("AnswerT", HttpAnswer, HttpAnswer | None)
Parameters = tuple[tuple[str, str], ...]

#: Calls with a body; each names a method of :class:`Endpoints` and its address.
CALLS: Final = ("predict", "explain", "predict_many")
_NO_CACHE: Final = {"cache-control": "no-store"}
#: Calls beyond scoring, from the modules that answer them.
ROUTES: Final[tuple[Route, ...]] = (*jobs.ROUTES, *feedback.ROUTES, *records.ROUTES, *drift.ROUTES)


class Endpoints:
    """Calls of one worker. A body may come as bytes, or as what the framework has read from them.

    Calls raise the errors of ``bentos.core.errors``; :meth:`answered` makes responses of them.

    Parameters
    ----------
    application
        The worker's parts.
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self.predictor = application.predictor
        self.plane = DataPlane(application.predictor)
        self.observer = application.observer
        self.guard = application.guard
        self.room = Room(UNFINISHED_CALLS * application.settings.many_body_limit_bytes)
        self.router = Router(ROUTES)
        scorer = application.predictor.scorer
        # The same in every answer.
        self._model = f'"thresholds":{scorer.thresholds.model_dump_json()},"model":{scorer.model.model_dump_json()}'

    def body_limit_bytes(self, call: str) -> int:
        """Longest body of a call."""
        settings = self.application.settings
        return settings.many_body_limit_bytes if call in ("predict_many", "infer") else settings.body_limit_bytes

    async def predict(self, body: bytes | Transaction, parameters: Parameters, deadline: float | None) -> HttpAnswer:
        """Score one transaction."""
        started = perf_counter()
        options = predict_options(parameters)
        transaction = _transaction(body)
        self.observer.stage("validation", started)
        return self._serialized(await self.predictor.predict(transaction, options, deadline))

    async def explain(self, body: bytes | Transaction, parameters: Parameters, deadline: float | None) -> HttpAnswer:
        """Take the score of one transaction apart."""
        started = perf_counter()
        no_options(parameters)
        transaction = _transaction(body)
        self.observer.stage("validation", started)
        return self._serialized(await self.predictor.explain(transaction, deadline))

    async def predict_many(
        self, body: bytes | Sequence[Transaction], parameters: Parameters, deadline: float | None
    ) -> HttpAnswer:
        """Score several transactions; a bad one gets its own error."""
        options = predict_options(parameters)
        rows = (
            await read_transactions(body)
            if isinstance(body, bytes)
            else [ManyRow(row, row.transaction_id) for row in body]
        )
        results = await self.predictor.predict_many([row.content for row in rows], options, deadline)
        return HttpAnswer(HTTPStatus.OK, await write_results(rows, results))

    def health(self) -> HttpAnswer:
        """State of the service and of what it needs. Degraded is no failure: it answers."""
        return _json(self.application.health())

    def model(self) -> HttpAnswer:
        """The model card."""
        return _json(self.predictor.scorer.card)

    def metrics(self) -> HttpAnswer:
        """Metrics of all workers."""
        return HttpAnswer(HTTPStatus.OK, self.application.scrape(), CONTENT_TYPE)

    def docs(self) -> HttpAnswer:
        """The page that shows the OpenAPI document."""
        return DOCS_PAGE

    def alive(self) -> HttpAnswer:
        """Answers as long as the worker does. A worker that listens has its model loaded, so it is ready as well."""
        return HttpAnswer(HTTPStatus.OK, b"ok\n", "text/plain")

    async def answered(self, call: Awaitable[AnswerT], request_id: str) -> AnswerT | HttpAnswer:
        """The response to a call, whatever comes of it.

        Raises
        ------
        Disconnected
            When there is nobody left to respond to.
        """
        try:
            return await call
        except Disconnected:
            raise
        except Exception as error:  # noqa: BLE001 - the last line of defence: logged, and told to nobody
            return error_answer(error, request_id)

    def _serialized(self, answer: BaseModel) -> HttpAnswer:
        started = perf_counter()
        # What answers a POST is not stored unless it says so (RFC 9110, section 9.3.3).
        body = self._plain(answer) if type(answer) is Prediction else None
        serialized = HttpAnswer(HTTPStatus.OK, answer.model_dump_json().encode() if body is None else body)
        self.observer.stage("serialization", started)
        return serialized

    def _plain(self, answer: Prediction) -> bytes | None:
        """JSON of a prediction by this worker's model, None when there is more to tell than a score.

        What most answers are, at a third of the time; a test proves that it reads the same.
        """
        if answer.reasons or answer.degraded:
            return None
        reasons = "null" if answer.reasons is None else "[]"
        return (
            f'{{"transaction_id":{encode_basestring_ascii(answer.transaction_id)},"score":{answer.score!r},'
            f'"decision":"{answer.decision}",{self._model},"degraded":[],"reasons":{reasons}}}'
        ).encode()


def _transaction(body: bytes | Transaction) -> Transaction:
    return body if isinstance(body, Transaction) else parse_transaction(body)


def _json(answer: BaseModel) -> HttpAnswer:
    return HttpAnswer(HTTPStatus.OK, answer.model_dump_json().encode(), headers=_NO_CACHE)
