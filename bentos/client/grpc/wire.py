"""Calls as messages of fraud.v1, answers and errors read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from bentos.client.exchange import Exchange, Explain, Failure, LabelResult, RowResult
from bentos.client.faults import BY_GRPC, made
from bentos.core.answers import Explanation, Prediction
from bentos.core.errors import ConfigError, FieldError, FraudError
from bentos.core.records import Label, LabelOutcome, LabelValue
from bentos.core.transaction import Transaction
from bentos.protos._generated.fraud.v1 import fraud_pb2 as pb

__all__ = ["DETAILS", "GrpcWire", "failure_of"]

AnswerT = TypeVar("AnswerT")
MessageT = TypeVar("MessageT", bound=Message)

#: Trailing metadata that holds google.rpc.Status.
DETAILS: Final = "grpc-status-details-bin"
_SERVICE: Final = pb.DESCRIPTOR.services_by_name["FraudService"].full_name
_EXPLAIN: Final[dict[Explain, pb.Explain.ValueType]] = {
    "none": pb.EXPLAIN_NONE,
    "flagged": pb.EXPLAIN_FLAGGED,
    "all": pb.EXPLAIN_ALL,
}
_LABEL: Final[dict[LabelValue, pb.LabelValue.ValueType]] = {
    "fraud": pb.LABEL_VALUE_FRAUD,
    "legitimate": pb.LABEL_VALUE_LEGITIMATE,
}
_RETRYABLE: Final = {"RESOURCE_EXHAUSTED", "UNAVAILABLE"}


class GrpcWire:
    """Calls in the form of gRPC."""

    def predict(self, transaction: Transaction, explain: Explain, record: bool) -> Exchange[Prediction]:
        message = pb.PredictRequest(transaction=_transaction(transaction), explain=_EXPLAIN[explain], record=record)
        return Exchange(_method("Predict"), message.SerializeToString(), _reader(pb.Prediction, _prediction))

    def explain(self, transaction: Transaction) -> Exchange[Explanation]:
        message = pb.ExplainRequest(transaction=_transaction(transaction))
        return Exchange(_method("Explain"), message.SerializeToString(), _reader(pb.Explanation, _explanation))

    def predict_many(
        self, transactions: Sequence[Transaction], explain: Explain, record: bool
    ) -> Exchange[list[RowResult]]:
        rows = [_transaction(transaction) for transaction in transactions]
        message = pb.PredictManyRequest(transactions=rows, explain=_EXPLAIN[explain], record=record)
        return Exchange(_method("PredictMany"), message.SerializeToString(), _reader(pb.PredictManyResponse, _results))

    def feedback(self, labels: Sequence[Label]) -> Exchange[list[LabelResult]]:
        message = pb.FeedbackRequest(labels=[_label(label) for label in labels])
        return Exchange(_method("Feedback"), message.SerializeToString(), _reader(pb.FeedbackResponse, _outcomes))

    def health(self) -> Exchange[Any]:
        raise _http_only("health")

    def model(self) -> Exchange[Any]:
        raise _http_only("model")

    def predict_batch(self, *_: object) -> Exchange[Any]:
        raise _http_only("predict_batch")

    def predict_uri(self, *_: object) -> Exchange[Any]:
        raise _http_only("predict_batch")

    def job_status(self, *_: object) -> Exchange[Any]:
        raise _http_only("job_status")

    def job_cancel(self, *_: object) -> Exchange[Any]:
        raise _http_only("job_cancel")

    def job_result(self, *_: object) -> Exchange[Any]:
        raise _http_only("job_result")


def failure_of(code: str, detail: str, trailers: Mapping[str, str | bytes]) -> Failure:
    """What a call means that ended with a code other than OK."""
    kind = BY_GRPC.get(code, FraudError)
    fields: list[FieldError] = []
    retry_after = None
    for item in _details(trailers.get(DETAILS)):
        if item.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = _unpacked(item, error_details_pb2.BadRequest())
            fields += [FieldError(one.field, one.description) for one in bad.field_violations]
        elif item.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = _unpacked(item, error_details_pb2.RetryInfo()).retry_delay
            retry_after = max(0, ceil(delay.seconds + delay.nanos / 1e9))
    text = detail if kind is not FraudError else f"{code}: {detail}"
    error = made(kind, text, fields, retry_after)
    return Failure(error, code in _RETRYABLE, retry_after_seconds=retry_after or 0)


def _details(status: str | bytes | None) -> Sequence[Any]:
    if not isinstance(status, bytes):
        return ()
    try:
        details: Sequence[Any] = status_pb2.Status.FromString(status).details
    except DecodeError:
        return ()
    return details


def _unpacked(item: Any, message: Any) -> Any:
    item.Unpack(message)
    return message


def _http_only(call: str) -> ConfigError:
    return ConfigError(f"{call}() is a call of HTTP; give the client the service's http:// or https:// address")


def _method(name: str) -> str:
    return f"/{_SERVICE}/{name}"


def _transaction(transaction: Transaction) -> pb.Transaction:
    # None leaves an optional field absent.
    return pb.Transaction(**{**dict(transaction), "timestamp": transaction.timestamp.isoformat()})


def _reader(message: type[MessageT], read: Callable[[MessageT], AnswerT]) -> Callable[[bytes], AnswerT]:
    def answer(body: bytes) -> AnswerT:
        try:
            received = message.FromString(body)
        except DecodeError as error:
            raise ValueError(f"no {message.DESCRIPTOR.name}: {error}") from error
        return read(received)

    return answer


def _prediction(message: pb.Prediction) -> Prediction:
    reasons = None
    if message.HasField("reasons"):
        reasons = [
            {"feature": one.feature, "value": one.value, "contribution": one.contribution, "text": one.text}
            for one in message.reasons.reasons
        ]
    return Prediction.model_validate({**_common(message), "reasons": reasons})


def _explanation(message: pb.Explanation) -> Explanation:
    return Explanation.model_validate(
        {
            **_common(message),
            "raw_score": message.raw_score,
            "base_value": message.base_value,
            "contributions": dict(message.contributions),
            "features": dict(message.features),
        }
    )


def _common(message: pb.Prediction | pb.Explanation) -> dict[str, Any]:
    return {
        "transaction_id": message.transaction_id,
        "score": message.score,
        "decision": pb.Decision.Name(message.decision).removeprefix("DECISION_").lower(),
        "thresholds": {"review": message.thresholds.review, "block": message.thresholds.block},
        "model": {"name": message.model.name, "version": message.model.version},
        "degraded": tuple(message.degraded),
    }


def _results(message: pb.PredictManyResponse) -> list[RowResult]:
    return [
        _row_error(result.error) if result.HasField("error") else _prediction(result.prediction)
        for result in message.results
    ]


def _label(label: Label) -> pb.Label:
    label_time = None if label.label_time is None else label.label_time.isoformat()
    return pb.Label(**{**dict(label), "label": _LABEL[label.label], "label_time": label_time})


def _outcomes(message: pb.FeedbackResponse) -> list[LabelResult]:
    return [
        _row_error(result.error) if result.HasField("error") else _outcome(result.outcome) for result in message.results
    ]


def _outcome(message: pb.LabelOutcome) -> LabelOutcome:
    return LabelOutcome.model_validate(
        {
            "transaction_id": message.transaction_id,
            "label": pb.LabelValue.Name(message.label).removeprefix("LABEL_VALUE_").lower(),
            "outcome": pb.LabelOutcome.Outcome.Name(message.outcome).removeprefix("OUTCOME_").lower(),
            "pending": message.pending,
        }
    )


def _row_error(error: pb.RowError) -> FraudError:
    fields = [FieldError(one.path, one.message) for one in error.errors]
    return made(BY_GRPC.get(error.code, FraudError), error.detail, fields)
