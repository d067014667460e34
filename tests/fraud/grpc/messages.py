"""Messages for requests."""

from __future__ import annotations

from typing import Any

from bentos.protos._generated.fraud.v1 import fraud_pb2
from tests.fraud.requests import transaction_json


def transaction_message(**changes: Any) -> fraud_pb2.Transaction:
    """A valid transaction as a caller sends it, with some fields changed; None removes one."""
    return fraud_pb2.Transaction(**transaction_json(**changes))


def predict_request(**changes: Any) -> fraud_pb2.PredictRequest:
    """A request that records nothing."""
    return fraud_pb2.PredictRequest(transaction=transaction_message(**changes), record=False)
