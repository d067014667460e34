"""Many rows in one call, driven by hand: what a server says about single ones."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bentos.client.calls import Calls, Row
from bentos.client.exchange import Attempt, RowResult, Wire
from bentos.client.grpc.wire import GrpcWire
from bentos.client.http.wire import HttpWire
from bentos.client.options import ClientOptions
from bentos.core.answers import ManyPredictions, Prediction, ProblemField, RowProblem
from bentos.core.errors import FieldError, FraudError, InvalidInput, Overloaded, Unavailable, wire_status
from bentos.protos._generated.fraud.v1 import fraud_pb2 as pb
from tests.client.scripted import prediction
from tests.client.variants import Transport
from tests.fraud.requests import transaction_json

GOOD = transaction_json()
BAD = transaction_json(amount=-1)
ODD = InvalidInput([FieldError("transactions.1.amount", "is odd")])


def _answered(transport: Transport, rows: Sequence[Row], results: Sequence[FraudError | None]) -> list[RowResult]:
    """What the client makes of these results of a server; None is a prediction."""
    wire: Wire = HttpWire() if transport == "http" else GrpcWire()
    steps = Calls(wire, ClientOptions()).predict_many(rows, "flagged", True, None, None)
    assert isinstance(next(steps), Attempt)
    with pytest.raises(StopIteration) as end:
        steps.send(_body(transport, results))
    answers: list[RowResult] = end.value.value
    return answers


def _body(transport: Transport, results: Sequence[FraudError | None]) -> bytes:
    if transport == "grpc":
        return pb.PredictManyResponse(results=[_message(result) for result in results]).SerializeToString()
    return ManyPredictions(results=tuple(_document(result) for result in results)).model_dump_json().encode()


def _document(result: FraudError | None) -> Prediction | RowProblem:
    if result is None:
        return prediction("made")
    wire = wire_status(result)
    fields = tuple(ProblemField(path=one.path, message=one.message) for one in getattr(result, "errors", ()))
    return RowProblem(
        status=wire.http.value, title=wire.title, detail=str(result), transaction_id=None, errors=fields or None
    )


def _message(result: FraudError | None) -> pb.PredictResult:
    if result is None:
        return pb.PredictResult(prediction=pb.Prediction(transaction_id="made", decision=pb.DECISION_BLOCK))
    fields = [pb.FieldError(path=one.path, message=one.message) for one in getattr(result, "errors", ())]
    error = pb.RowError(code=wire_status(result).grpc, detail=str(result), errors=fields)
    return pb.PredictResult(error=error)


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_each_row_has_its_own_error(transport: Transport) -> None:
    sent: list[FraudError | None] = [None, ODD, Overloaded("late"), Unavailable("no model"), FraudError("oh"), None]
    answers = _answered(transport, [GOOD] * len(sent), sent)
    kinds = [Prediction, InvalidInput, Overloaded, Unavailable, FraudError, Prediction]
    assert [type(answer) for answer in answers] == kinds
    assert [str(answer) for answer in answers[2:5]] == ["late", "no model", "oh"]


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_paths_are_the_rows_own(transport: Transport) -> None:
    # What the server calls row 1 is the caller's row 2: the bad one was not sent.
    answers = _answered(transport, [GOOD, BAD, GOOD], [None, ODD])
    refused = answers[2]
    assert isinstance(refused, InvalidInput)
    assert refused.errors == [FieldError("amount", "is odd")]


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_results_that_are_missing_are_noticed(transport: Transport) -> None:
    with pytest.raises(Unavailable, match=r"cannot be read.*\(request [0-9a-f]{32}\)"):
        _answered(transport, [GOOD, GOOD], [None])


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_a_decision_of_another_version_is_noticed(transport: Transport) -> None:
    body = {
        "http": _body("http", [None]).replace(b'"approve"', b'"challenge"'),
        "grpc": pb.PredictManyResponse(
            results=[pb.PredictResult(prediction=pb.Prediction(decision=pb.DECISION_UNSPECIFIED))]
        ).SerializeToString(),
    }[transport]
    wire: Wire = HttpWire() if transport == "http" else GrpcWire()
    steps = Calls(wire, ClientOptions()).predict_many([GOOD], "flagged", True, None, None)
    next(steps)
    with pytest.raises(Unavailable, match="cannot be read"):
        steps.send(body)
