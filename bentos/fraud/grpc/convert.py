"""Messages of fraud.v1 from and to the domain's objects."""

from __future__ import annotations

from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message
from pydantic import ValidationError

from bentos.core.answers import Decision, Explanation, ModelVersion, Prediction, ReasonText, ThresholdPair
from bentos.core.errors import FieldError, FraudError, InvalidInput
from bentos.core.transaction import Transaction, field_errors
from bentos.fraud.http.problems import described
from bentos.fraud.options import DEFAULT_OPTIONS, Explain, PredictOptions
from bentos.protos._generated.fraud.v1 import fraud_pb2

__all__ = [
    "explanation_message",
    "options_of",
    "prediction_message",
    "read_message",
    "read_transaction",
    "readable_id",
    "row_error_message",
    "transaction_of",
]

MessageT = TypeVar("MessageT", bound=Message)

_MAXIMUM_ID: Final = 128
_EXPLAIN: Final[dict[int, Explain]] = {
    fraud_pb2.EXPLAIN_UNSPECIFIED: DEFAULT_OPTIONS.explain,
    fraud_pb2.EXPLAIN_NONE: "none",
    fraud_pb2.EXPLAIN_FLAGGED: "flagged",
    fraud_pb2.EXPLAIN_ALL: "all",
}
_DECISION: Final[dict[Decision, fraud_pb2.Decision.ValueType]] = {
    "approve": fraud_pb2.DECISION_APPROVE,
    "review": fraud_pb2.DECISION_REVIEW,
    "block": fraud_pb2.DECISION_BLOCK,
}


def read_message(kind: type[MessageT], data: bytes) -> MessageT:
    """Read a message.

    Raises
    ------
    InvalidInput
        The data are none.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InvalidInput([FieldError("message", f"is not a {kind.DESCRIPTOR.full_name}")]) from error


def transaction_of(request: fraud_pb2.PredictRequest | fraud_pb2.ExplainRequest) -> Transaction:
    """The transaction of a request.

    Raises
    ------
    InvalidInput
        With the path and the message of every wrong field, as over HTTP.
    """
    if not request.HasField("transaction"):
        raise InvalidInput([FieldError("transaction", "Field required")])
    return read_transaction(request.transaction)


def read_transaction(message: fraud_pb2.Transaction, prefix: str = "") -> Transaction:
    """A transaction from its message.

    Parameters
    ----------
    message
        As sent.
    prefix
        Of the paths of wrong fields.

    Raises
    ------
    InvalidInput
        With the path and the message of every wrong field, as over HTTP.
    """
    try:
        # A required text that is empty is not listed, so it counts as missing.
        return Transaction.model_validate({field.name: value for field, value in message.ListFields()})
    except ValidationError as error:
        raise InvalidInput(field_errors(error, prefix)) from error


def readable_id(message: fraud_pb2.Transaction | fraud_pb2.Label) -> str | None:
    """The id of a row that may be wrong, if it has one that can be repeated to the caller."""
    given = message.transaction_id
    return given if given and len(given) <= _MAXIMUM_ID and given.isprintable() else None


def options_of(request: fraud_pb2.PredictRequest | fraud_pb2.PredictManyRequest) -> PredictOptions:
    """The options of a request.

    Raises
    ------
    InvalidInput
        For a way to explain that this version does not know.
    """
    explain = _EXPLAIN.get(request.explain)
    if explain is None:
        allowed = ", ".join(fraud_pb2.Explain.keys())
        raise InvalidInput([FieldError("explain", f"must be one of {allowed}, got {request.explain}")])
    record = request.record if request.HasField("record") else DEFAULT_OPTIONS.record
    return PredictOptions(explain, record)


def prediction_message(prediction: Prediction) -> fraud_pb2.Prediction:
    """The message of a prediction."""
    reasons = prediction.reasons
    return fraud_pb2.Prediction(
        transaction_id=prediction.transaction_id,
        score=prediction.score,
        decision=_DECISION[prediction.decision],
        thresholds=_thresholds(prediction.thresholds),
        model=_model(prediction.model),
        degraded=prediction.degraded,
        reasons=None if reasons is None else fraud_pb2.Reasons(reasons=[_reason(reason) for reason in reasons]),
    )


def explanation_message(explanation: Explanation) -> fraud_pb2.Explanation:
    """The message of an explanation."""
    return fraud_pb2.Explanation(
        transaction_id=explanation.transaction_id,
        raw_score=explanation.raw_score,
        base_value=explanation.base_value,
        contributions=explanation.contributions,
        features=explanation.features,
        score=explanation.score,
        decision=_DECISION[explanation.decision],
        thresholds=_thresholds(explanation.thresholds),
        model=_model(explanation.model),
        degraded=explanation.degraded,
    )


def row_error_message(error: FraudError, transaction_id: str | None) -> fraud_pb2.RowError:
    """The message of what is wrong with one transaction of several."""
    wire, detail, fields = described(error)
    return fraud_pb2.RowError(
        code=wire.grpc,
        detail=detail,
        transaction_id=transaction_id,
        errors=[fraud_pb2.FieldError(path=item.path, message=item.message) for item in fields or ()],
    )


def _thresholds(thresholds: ThresholdPair) -> fraud_pb2.Thresholds:
    return fraud_pb2.Thresholds(review=thresholds.review, block=thresholds.block)


def _model(model: ModelVersion) -> fraud_pb2.ModelVersion:
    return fraud_pb2.ModelVersion(name=model.name, version=model.version)


def _reason(reason: ReasonText) -> fraud_pb2.Reason:
    return fraud_pb2.Reason(
        feature=reason.feature, value=reason.value, contribution=reason.contribution, text=reason.text
    )
