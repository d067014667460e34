"""Prepared requests: transactions of many customers for the service, ready feature rows for its peers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bentos.protos._generated.fraud.v1 import fraud_pb2
from tests.benchmarks.load.generator import Request
from tests.fraud.requests import NOON, transaction_json

__all__ = ["BODIES", "CUSTOMERS", "feature_requests", "grpc_requests", "http_requests", "transactions"]

CUSTOMERS: Final = 5_000
MERCHANTS: Final = 1_000
CATEGORIES: Final = 20
BODIES: Final = 4 * CUSTOMERS
#: Milliseconds left, as the generator fills them in.
_DIGITS: Final = b"000000"
_PREDICT: Final = b"/fraud.v1.FraudService/Predict"


def transactions() -> list[dict[str, Any]]:
    """``BODIES`` transactions, four of every customer, a minute apart."""
    rng = np.random.default_rng(0)
    customers = rng.permutation(np.arange(BODIES) % CUSTOMERS)
    amounts = np.exp(rng.normal(4, 2, BODIES)).clip(max=1e6)
    return [
        transaction_json(
            customer_id=f"customer-{customer}",
            merchant_id=f"merchant-{rng.integers(MERCHANTS)}",
            merchant_category=f"category-{rng.integers(CATEGORIES)}",
            amount=round(float(amount), 2),
            timestamp=(NOON + timedelta(minutes=minute)).isoformat(),
        )
        for minute, (customer, amount) in enumerate(zip(customers.tolist(), amounts, strict=True))
    ]


def http_requests(bodies: list[dict[str, Any]], explain: str, *, deadline: bool = False) -> list[Request]:
    """Calls of /predict.

    Parameters
    ----------
    explain
        Value of the query parameter.
    deadline
        Whether each says how long its client still waits.
    """
    return [
        _in_time(_post(f"/predict?explain={explain}", json.dumps(body).encode(), deadline=deadline), body)
        for body in bodies
    ]


def feature_requests(rows: NDArray[np.float32], path: str, name: str, *, nested: bool = False) -> list[Request]:
    """Calls of a peer: a feature row each, as ``{name: row}`` or, nested, ``{name: [row]}``."""
    return [
        _post(path, json.dumps({name: [row] if nested else row}).encode())
        for row in np.round(rows.astype(np.float64), 6).tolist()
    ]


def grpc_requests(bodies: list[dict[str, Any]], explain: fraud_pb2.Explain.ValueType) -> list[Request]:
    """Calls of FraudService.Predict: a HEADERS frame, every field a literal, and a DATA frame."""
    fields = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", _PREDICT),
        (b":authority", b"127.0.0.1"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        (b"user-agent", b"load-generator"),
    )
    block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)
    headers = _frame(1, 4, block)
    messages = (
        fraud_pb2.PredictRequest(transaction=fraud_pb2.Transaction(**body), explain=explain).SerializeToString()
        for body in bodies
    )
    calls = [Request(headers + _frame(0, 1, b"\x00" + len(item).to_bytes(4, "big") + item)) for item in messages]
    return [_in_time(call, body) for call, body in zip(calls, bodies, strict=True)]


def _in_time(request: Request, body: dict[str, Any]) -> Request:
    """The request with its transaction's day and time left to the clock."""
    return replace(request, clock=request.content.index(body["timestamp"].encode()))


def _post(path: str, body: bytes, *, deadline: bool = False) -> Request:
    head = b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % (
        path.encode(),
        len(body),
    )
    if not deadline:
        return Request(head + b"\r\n" + body)
    head += b"x-fraud-deadline-ms: "
    return Request(head + _DIGITS + b"\r\n\r\n" + body, budget=len(head))


def _frame(kind: int, flags: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags, 0, 0, 0, 0)) + payload


def _text(content: bytes) -> bytes:
    # HPACK's integers (RFC 7541, section 5.1) take one byte below 127, and no text here is longer.
    return bytes((len(content),)) + content
