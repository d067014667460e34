"""fraud.v1.FraudService: from messages to the predictor and back."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Final

from bentos.core.answers import Prediction
from bentos.core.errors import FieldError, FraudError, InvalidInput
from bentos.core.transaction import Transaction
from bentos.fraud.grpc.calls import Call
from bentos.fraud.grpc.convert import (
    explanation_message,
    options_of,
    prediction_message,
    read_message,
    read_transaction,
    readable_id,
    row_error_message,
    transaction_of,
)
from bentos.fraud.grpc.methods import Methods, UnaryMethod
from bentos.fraud.observe.observer import Observer
from bentos.fraud.predictor import MAXIMUM_ROWS, Predictor
from bentos.fraud.settings import ScoringSettings
from bentos.protos._generated.fraud.v1 import fraud_pb2

__all__ = ["SERVICE", "FraudService"]

SERVICE: Final = fraud_pb2.DESCRIPTOR.services_by_name["FraudService"].full_name
#: Rows between two looks at the event loop, about a millisecond.
_STEP: Final = 250


class FraudService:
    """The calls of fraud.v1.

    Parameters
    ----------
    predictor
        Answers them.
    observer
        Told of stages.
    """

    def __init__(self, predictor: Predictor, observer: Observer) -> None:
        self._predictor = predictor
        self._stage = observer.stage

    def methods(self, settings: ScoringSettings) -> Methods:
        """The service's methods."""
        admit, one, many = self._predictor.admit, settings.body_limit_bytes, settings.many_body_limit_bytes
        return {
            f"/{SERVICE}/Predict": UnaryMethod("predict", self.predict, one, admit, self._at_once),
            f"/{SERVICE}/Explain": UnaryMethod("explain", self.explain, one, admit, self._at_once),
            f"/{SERVICE}/PredictMany": UnaryMethod("predict_many", self.predict_many, many, admit),
        }

    def _at_once(self) -> bool:
        return self._predictor.at_once

    async def predict(self, message: bytes, call: Call) -> bytes:
        """Score one transaction."""
        started = perf_counter()
        request = read_message(fraud_pb2.PredictRequest, message)
        options = options_of(request)
        transaction = transaction_of(request)
        self._stage("validation", started)
        prediction = await self._predictor.predict(transaction, options, call.deadline)
        started = perf_counter()
        answer = prediction_message(prediction).SerializeToString()
        self._stage("serialization", started)
        return answer

    async def explain(self, message: bytes, call: Call) -> bytes:
        """Take the score of one transaction apart."""
        started = perf_counter()
        transaction = transaction_of(read_message(fraud_pb2.ExplainRequest, message))
        self._stage("validation", started)
        explanation = await self._predictor.explain(transaction, call.deadline)
        started = perf_counter()
        answer = explanation_message(explanation).SerializeToString()
        self._stage("serialization", started)
        return answer

    async def predict_many(self, message: bytes, call: Call) -> bytes:
        """Score several transactions; a bad one gets its own error."""
        request = read_message(fraud_pb2.PredictManyRequest, message)
        options = options_of(request)
        count = len(request.transactions)
        if not 1 <= count <= MAXIMUM_ROWS:
            raise InvalidInput([FieldError("transactions", f"must be 1 to {MAXIMUM_ROWS} rows, got {count}")])
        rows: list[Transaction | InvalidInput] = []
        for start in range(0, count, _STEP):
            rows += [_row(request, index) for index in range(start, min(start + _STEP, count))]
            await asyncio.sleep(0)
        results = await self._predictor.predict_many(rows, options, call.deadline)
        response = fraud_pb2.PredictManyResponse()
        for start in range(0, count, _STEP):
            for index in range(start, min(start + _STEP, count)):
                response.results.append(_result(request, index, results[index]))
            await asyncio.sleep(0)
        return response.SerializeToString()


def _row(request: fraud_pb2.PredictManyRequest, index: int) -> Transaction | InvalidInput:
    try:
        return read_transaction(request.transactions[index], f"transactions.{index}.")
    except InvalidInput as error:
        return error


def _result(
    request: fraud_pb2.PredictManyRequest, index: int, result: Prediction | FraudError
) -> fraud_pb2.PredictResult:
    if isinstance(result, FraudError):
        error = row_error_message(result, readable_id(request.transactions[index]))
        return fraud_pb2.PredictResult(error=error)
    return fraud_pb2.PredictResult(prediction=prediction_message(result))
