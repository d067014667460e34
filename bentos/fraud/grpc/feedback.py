"""fraud.v1.FraudService.Feedback: the typed twin of /feedback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bentos.core.errors import FieldError, FraudError, InvalidInput
from bentos.core.records import Label, LabelOutcome, LabelValue
from bentos.fraud.grpc.calls import Call
from bentos.fraud.grpc.convert import read_message, readable_id, row_error_message
from bentos.fraud.grpc.fraud_service import SERVICE
from bentos.fraud.grpc.methods import Methods, UnaryMethod
from bentos.fraud.records.intake import check_count, read_label, take_labels
from bentos.fraud.records.office import Records
from bentos.protos._generated.fraud.v1 import fraud_pb2

__all__ = ["FeedbackService"]

#: What one label may take; names are up to 128 characters each.
_LABEL_BYTES: Final = 4096
_LABEL: Final[dict[LabelValue, fraud_pb2.LabelValue.ValueType]] = {
    "fraud": fraud_pb2.LABEL_VALUE_FRAUD,
    "legitimate": fraud_pb2.LABEL_VALUE_LEGITIMATE,
}
_VALUES: Final = {number: value for value, number in _LABEL.items()}
_OUTCOMES: Final = {
    "recorded": fraud_pb2.LabelOutcome.OUTCOME_RECORDED,
    "changed": fraud_pb2.LabelOutcome.OUTCOME_CHANGED,
    "unchanged": fraud_pb2.LabelOutcome.OUTCOME_UNCHANGED,
}


class FeedbackService:
    """The call that brings labels.

    Parameters
    ----------
    records
        Of the worker.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._most = records.settings.feedback_rows

    def methods(self) -> Methods:
        """The service's methods."""
        return {f"/{SERVICE}/Feedback": UnaryMethod("feedback", self.feedback, self._most * _LABEL_BYTES)}

    async def feedback(self, message: bytes, call: Call) -> bytes:  # noqa: ARG002 - every method gets its call
        """Take labels; a wrong one gets its own error."""
        request = read_message(fraud_pb2.FeedbackRequest, message)
        check_count(len(request.labels), self._most)
        outcomes = await take_labels(self._records, [_read(index, item) for index, item in enumerate(request.labels)])
        results = [_result(item, outcome) for item, outcome in zip(request.labels, outcomes, strict=True)]
        return fraud_pb2.FeedbackResponse(results=results).SerializeToString()


def _read(index: int, message: fraud_pb2.Label) -> Label | InvalidInput:
    prefix = f"labels.{index}."
    try:
        return read_label(_fields(message, prefix), prefix)
    except InvalidInput as error:
        return error


def _fields(message: fraud_pb2.Label, prefix: str) -> Mapping[str, Any]:
    # A required text that is empty is not listed, so it counts as missing.
    fields = {field.name: value for field, value in message.ListFields()}
    if "label" in fields:
        value = _VALUES.get(message.label)
        if value is None:
            allowed = ", ".join(fraud_pb2.LabelValue.Name(number) for number in _VALUES)
            raise InvalidInput([FieldError(f"{prefix}label", f"must be one of {allowed}, got {message.label}")])
        fields["label"] = value
    return fields


def _result(message: fraud_pb2.Label, outcome: LabelOutcome | FraudError) -> fraud_pb2.FeedbackResult:
    if isinstance(outcome, FraudError):
        return fraud_pb2.FeedbackResult(error=row_error_message(outcome, readable_id(message)))
    return fraud_pb2.FeedbackResult(
        outcome=fraud_pb2.LabelOutcome(
            transaction_id=outcome.transaction_id,
            label=_LABEL[outcome.label],
            outcome=_OUTCOMES[outcome.outcome],
            pending=outcome.pending,
        )
    )
