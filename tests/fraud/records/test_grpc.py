"""fraud.v1.FraudService.Feedback is /feedback."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from bentos.fraud.application import prepare
from bentos.fraud.settings import ScoringSettings
from bentos.protos._generated.fraud.v1 import fraud_pb2
from bentos.protos._generated.fraud.v1.fraud_pb2_grpc import FraudServiceStub
from tests.fraud.grpc.messages import predict_request
from tests.fraud.grpc.serving import HOST, SECONDS, serving_application
from tests.fraud.records.recording import recorded

FRAUD, LEGITIMATE = fraud_pb2.LABEL_VALUE_FRAUD, fraud_pb2.LABEL_VALUE_LEGITIMATE


@pytest.fixture(scope="module")
def stub(champion_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FraudServiceStub]:
    """A client of a whole worker."""
    home = Path(shutil.copytree(champion_home, tmp_path_factory.mktemp("records") / "home"))

    def settings(port: int) -> ScoringSettings:
        chosen = ScoringSettings(
            home=home, grpc_host=HOST, grpc_port=port, deadline_milliseconds=60_000, job_processes=0, feedback_rows=10
        )
        prepare(chosen)
        return chosen

    with serving_application(settings) as serving:
        assert serving.application is not None
        serving.loop.run(serving.application.warm_up())
        with serving.channel() as channel, recorded(serving.application, flush_seconds=0):
            yield FraudServiceStub(channel)


def _feedback(stub: FraudServiceStub, *labels: fraud_pb2.Label) -> list[fraud_pb2.FeedbackResult]:
    return list(stub.Feedback(fraud_pb2.FeedbackRequest(labels=labels), timeout=SECONDS).results)


def test_labels_are_taken(stub: FraudServiceStub) -> None:
    kinds = fraud_pb2.LabelOutcome
    results = _feedback(
        stub,
        fraud_pb2.Label(transaction_id="t-1", label=FRAUD, label_time="2026-01-01T00:00:00Z", source="chargeback"),
        fraud_pb2.Label(transaction_id="t-1", label=FRAUD),
        fraud_pb2.Label(transaction_id="t-1", label=LEGITIMATE, analyst="ann"),
    )
    assert [(one.outcome.label, one.outcome.outcome, one.outcome.pending) for one in results] == [
        (FRAUD, kinds.OUTCOME_RECORDED, True),
        (FRAUD, kinds.OUTCOME_UNCHANGED, True),
        (LEGITIMATE, kinds.OUTCOME_CHANGED, True),
    ]
    request = predict_request(transaction_id="t-1")
    request.record = True
    stub.Predict(request, timeout=SECONDS)
    limit = time.monotonic() + SECONDS
    while _feedback(stub, fraud_pb2.Label(transaction_id="t-1", label=LEGITIMATE))[0].outcome.pending:
        assert time.monotonic() < limit


def test_a_wrong_label_fails_alone(stub: FraudServiceStub) -> None:
    wrong = [
        fraud_pb2.Label(label=FRAUD),
        fraud_pb2.Label(transaction_id="t-2"),
        fraud_pb2.Label(transaction_id="t-2", label=7),  # type: ignore[arg-type]
        fraud_pb2.Label(transaction_id="t-2", label=FRAUD, label_time="2199-01-01T00:00:00Z"),
    ]
    *failed, last = _feedback(stub, *wrong, fraud_pb2.Label(transaction_id="t-2", label=FRAUD))
    assert [(one.error.code, one.error.errors[0].path, one.error.transaction_id) for one in failed] == [
        ("INVALID_ARGUMENT", "labels.0.transaction_id", ""),
        ("INVALID_ARGUMENT", "labels.1.label", "t-2"),
        ("INVALID_ARGUMENT", "labels.2.label", "t-2"),
        ("INVALID_ARGUMENT", "labels.3.label_time", "t-2"),
    ]
    assert failed[2].error.errors[0].message == "must be one of LABEL_VALUE_FRAUD, LABEL_VALUE_LEGITIMATE, got 7"
    assert last.outcome.transaction_id == "t-2"


@pytest.mark.parametrize("count", [0, 11])
def test_too_few_and_too_many_are_refused(stub: FraudServiceStub, count: int) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        _feedback(stub, *[fraud_pb2.Label(transaction_id="t-3", label=FRAUD)] * count)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    trailers = dict(refused.value.trailing_metadata())
    detail = Status.FromString(trailers["grpc-status-details-bin"]).details[0]
    bad = BadRequest()
    assert detail.Unpack(bad)
    assert bad.field_violations[0].description == f"must be 1 to 10 labels, got {count}"
