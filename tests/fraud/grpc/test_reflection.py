from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc.code_pb2 import Code
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_reflection.v1alpha.reflection_pb2 import ExtensionRequest, ServerReflectionRequest, ServerReflectionResponse
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from tests.fraud.grpc.serving import SECONDS


def _ask(channel: grpc.Channel, *questions: ServerReflectionRequest) -> Iterator[ServerReflectionResponse]:
    answers: Iterator[ServerReflectionResponse] = ServerReflectionStub(channel).ServerReflectionInfo(
        iter(questions), timeout=SECONDS
    )
    return answers


def test_a_tool_learns_services_and_messages(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {"fraud.v1.FraudService", "grpc.health.v1.Health"} <= set(database.get_services())
    service = DescriptorPool(database).FindServiceByName("fraud.v1.FraudService")
    assert [method.name for method in service.methods] == ["Predict", "Explain", "PredictMany", "Feedback"]
    assert (
        "amount"
        in service.methods_by_name["Explain"].input_type.fields_by_name["transaction"].message_type.fields_by_name
    )


def test_questions_are_answered_in_order(channel: grpc.Channel) -> None:
    by_name, by_symbol, unknown, extension, nothing = _ask(
        channel,
        ServerReflectionRequest(host="here", file_by_filename="fraud/v1/fraud.proto"),
        ServerReflectionRequest(file_containing_symbol="fraud.v1.Prediction"),
        ServerReflectionRequest(file_containing_symbol="fraud.v1.Nothing"),
        ServerReflectionRequest(
            file_containing_extension=ExtensionRequest(containing_type="fraud.v1.Prediction", extension_number=100)
        ),
        ServerReflectionRequest(),
    )
    assert by_name.valid_host == by_name.original_request.host == "here"
    for answer in (by_name, by_symbol):
        (file,) = answer.file_descriptor_response.file_descriptor_proto
        assert FileDescriptorProto.FromString(file).name == "fraud/v1/fraud.proto"
    for answer in (unknown, extension, nothing):
        assert answer.error_response.error_code == Code.Value("NOT_FOUND")


@pytest.mark.parametrize("symbol", ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"])
def test_other_services_are_described(channel: grpc.Channel, symbol: str) -> None:
    (answer,) = _ask(channel, ServerReflectionRequest(file_containing_symbol=symbol))
    assert answer.file_descriptor_response.file_descriptor_proto
