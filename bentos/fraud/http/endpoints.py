"""The calls of the HTTP interface, from what was sent to a whole response. Raise nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from time import perf_counter
from typing import Final

from pydantic import BaseModel

from bentos.core.transaction import Transaction, parse_transaction
from bentos.fraud.application import Application
from bentos.fraud.http.docs import DOCS_PAGE
from bentos.fraud.http.problems import HttpAnswer, error_answer
from bentos.fraud.metrics import CONTENT_TYPE, Metrics
from bentos.fraud.options import no_options, predict_options

__all__ = ["Endpoints"]

Parameters = Iterable[tuple[str, str]]

_NO_CACHE: Final = {"cache-control": "no-store"}


class Endpoints:
    """Calls of one worker. A body may come as bytes, or as the transaction that the framework has read from them.

    Parameters
    ----------
    application
        The worker's parts.
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self._predictor = application.predictor
        self._metrics: Metrics = application.predictor.metrics

    def predict(self, body: bytes | Transaction, parameters: Parameters, request_id: str) -> HttpAnswer:
        """Score one transaction."""
        started = perf_counter()

        def call() -> HttpAnswer:
            with self._metrics.stage("validation"):
                options = predict_options(parameters)
                transaction = _transaction(body)
            answer = self._serialized(self._predictor.predict(transaction, options))
            self._metrics.prediction_latency.observe(perf_counter() - started)
            return answer

        return self._called("predict", call, request_id)

    def explain(self, body: bytes | Transaction, parameters: Parameters, request_id: str) -> HttpAnswer:
        """Take the score of one transaction apart."""

        def call() -> HttpAnswer:
            with self._metrics.stage("validation"):
                no_options(parameters)
                transaction = _transaction(body)
            return self._serialized(self._predictor.explain(transaction))

        return self._called("explain", call, request_id)

    def health(self, request_id: str) -> HttpAnswer:
        """State of the service and of what it needs. Degraded is no failure: it answers."""
        return self._called("health", lambda: _json(self.application.health()), request_id)

    def model(self, request_id: str) -> HttpAnswer:
        """The model card."""
        return self._called("model", lambda: _json(self._predictor.scorer.card), request_id)

    def metrics(self, request_id: str) -> HttpAnswer:
        """Metrics of all workers."""
        return self._called(
            "metrics", lambda: HttpAnswer(HTTPStatus.OK, self.application.scrape(), CONTENT_TYPE), request_id
        )

    def docs(self, request_id: str) -> HttpAnswer:
        """The page that shows the OpenAPI document."""
        return self._called("docs", lambda: DOCS_PAGE, request_id)

    def alive(self, request_id: str) -> HttpAnswer:
        """Answers as long as the worker does. A worker that listens has its model loaded, so it is ready as well."""
        return self._called("probe", lambda: HttpAnswer(HTTPStatus.OK, b"ok\n", "text/plain"), request_id)

    def count(self, method: str, status: int) -> None:
        """Count a response that no call of this object made."""
        self._metrics.count_request("http", method, str(status))

    def counted(self, method: str, answer: HttpAnswer) -> HttpAnswer:
        """The same, for one that is still to be sent."""
        self.count(method, answer.status.value)
        return answer

    def _serialized(self, answer: BaseModel) -> HttpAnswer:
        with self._metrics.stage("serialization"):
            return _json(answer)

    def _called(self, method: str, call: Callable[[], HttpAnswer], request_id: str) -> HttpAnswer:
        try:
            answer = call()
        except Exception as error:  # noqa: BLE001 - the last line of defence: logged, and told to nobody
            answer = error_answer(error, request_id)
        return self.counted(method, answer)


def _transaction(body: bytes | Transaction) -> Transaction:
    return body if isinstance(body, Transaction) else parse_transaction(body)


def _json(answer: BaseModel) -> HttpAnswer:
    return HttpAnswer(HTTPStatus.OK, answer.model_dump_json().encode(), headers=_NO_CACHE)
