"""gRPC of a running server with two workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from prometheus_client.parser import text_string_to_metric_families

from bentos.protos._generated.fraud.v1 import fraud_pb2
from bentos.protos._generated.fraud.v1.fraud_pb2_grpc import FraudServiceStub
from tests.fraud.grpc.messages import predict_request, transaction_message
from tests.fraud.requests import transaction_json
from tests.fraud.server import Server, environment, running_server
from tests.waiting import eventually

SECONDS = 30.0


@contextlib.contextmanager
def _stub(server: Server) -> Iterator[FraudServiceStub]:
    # A connection of its own: the kernel gives each to any worker.
    own = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options=own) as channel:
        yield FraudServiceStub(channel)


def _counted(client: httpx.Client) -> float:
    return sum(
        sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == "fraud_requests_total"
        and sample.labels["transport"] == "grpc"
        and sample.labels["method"] == "explain"
    )


def test_both_interfaces_answer_the_same(server: Server, client: httpx.Client) -> None:
    expected = client.post("/explain", json=transaction_json(transaction_id="t-1")).json()
    request = fraud_pb2.ExplainRequest(transaction=transaction_message(transaction_id="t-1"))
    before = _counted(client)
    for _ in range(20):
        with _stub(server) as stub:
            answer = MessageToDict(stub.Explain(request, timeout=SECONDS), preserving_proto_field_name=True)
        assert answer["score"] == expected["score"]
        assert answer["contributions"] == expected["contributions"]
        assert answer["features"] == expected["features"]
    # Counted a moment after the answers have left, each once.
    eventually(lambda: _counted(client) >= before + 20)
    assert _counted(client) == before + 20


def test_a_transaction_recorded_over_one_interface_is_known_to_the_other(server: Server, client: httpx.Client) -> None:
    with _stub(server) as stub:
        sent = fraud_pb2.PredictRequest(transaction=transaction_message(transaction_id="g-1", customer_id="both"))
        stub.Predict(sent, timeout=SECONDS)
        assert client.post("/predict", json=transaction_json(transaction_id="h-1", customer_id="both")).is_success
        known = stub.Explain(
            fraud_pb2.ExplainRequest(transaction=transaction_message(customer_id="both")), timeout=SECONDS
        )
    assert known.features["customer_transactions_1d"] == 3


def test_a_second_server_on_the_port_is_refused(server: Server, champion_home: Path, tmp_path: Path) -> None:
    environ = environment(champion_home, FRAUD_GRPC_HOST="127.0.0.1", FRAUD_GRPC_PORT=str(server.grpc_port))
    second = running_server(environ, log=tmp_path / "log")
    with pytest.raises(AssertionError, match="FRAUD_GRPC_PORT"), second:
        pass
    with _stub(server) as stub:
        assert stub.Predict(predict_request(), timeout=SECONDS).score >= 0


@pytest.mark.parametrize("amount", [-1.0, float("nan")])
def test_wrong_input_is_refused(server: Server, amount: float) -> None:
    with _stub(server) as stub, pytest.raises(grpc.RpcError) as caught:
        stub.Predict(predict_request(amount=amount), timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
