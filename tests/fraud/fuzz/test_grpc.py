"""Random messages to every method of gRPC: never INTERNAL or UNKNOWN, and the server goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bentos.protos._generated.fraud.v1 import fraud_pb2
from bentos.protos._generated.inference import inference_pb2
from tests.fraud.fuzz.messages import messages
from tests.fraud.grpc.messages import predict_request
from tests.fraud.server import Server

SECONDS = 30.0
#: What a wrong message may be answered with. A random one may also be right.
EXPECTED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
}


def _methods(service: ServiceDescriptor) -> Iterator[MethodDescriptor]:
    return iter(service.methods)


UNARY = [
    *_methods(fraud_pb2.DESCRIPTOR.services_by_name["FraudService"]),
    *_methods(inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]),
    health_pb2.DESCRIPTOR.services_by_name["Health"].methods_by_name["Check"],
]
STREAMING = [
    health_pb2.DESCRIPTOR.services_by_name["Health"].methods_by_name["Watch"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].methods_by_name["ServerReflectionInfo"],
]
EVERY = [pytest.param(method, id=method.full_name) for method in (*UNARY, *STREAMING)]


def _path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options=options) as opened:
        yield opened


def _code(channel: grpc.Channel, method: MethodDescriptor, *sent: bytes) -> grpc.StatusCode:
    """Call a method with these messages, take one answer, and say how it went."""
    try:
        if method.client_streaming or method.server_streaming:
            stream: Callable[..., Any] = channel.stream_stream(_path(method))
            call = stream(iter(sent), timeout=SECONDS)
            next(call, None)
            call.cancel()
        else:
            unary: Callable[..., bytes] = channel.unary_unary(_path(method))
            unary(sent[0], timeout=SECONDS)
    except grpc.RpcError as error:
        failed = error
    else:
        return grpc.StatusCode.OK
    assert len(failed.details()) < 1000
    assert "Traceback" not in failed.details()
    code: grpc.StatusCode = failed.code()
    return code


def _assert_well(channel: grpc.Channel) -> None:
    assert _code(channel, UNARY[0], predict_request().SerializeToString()) is grpc.StatusCode.OK


@pytest.mark.parametrize("method", EVERY)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_messages(channel: grpc.Channel, method: MethodDescriptor, data: st.DataObject) -> None:
    message = data.draw(messages(method.input_type))
    assert _code(channel, method, message.SerializeToString()) in EXPECTED


@pytest.mark.slow
@pytest.mark.parametrize("method", EVERY)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_many_random_messages(channel: grpc.Channel, method: MethodDescriptor, data: st.DataObject) -> None:
    message = data.draw(messages(method.input_type))
    assert _code(channel, method, message.SerializeToString()) in EXPECTED


@pytest.mark.parametrize("method", EVERY)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_random_octets(channel: grpc.Channel, method: MethodDescriptor, octets: bytes) -> None:
    assert _code(channel, method, octets) in EXPECTED


@pytest.mark.parametrize("method", EVERY)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_broken_messages(channel: grpc.Channel, method: MethodDescriptor, data: st.DataObject) -> None:
    octets = bytearray(data.draw(messages(method.input_type)).SerializeToString() or b"\x0a\x00")
    if data.draw(st.booleans()):
        del octets[data.draw(st.integers(0, len(octets) - 1)) :]
    else:
        octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    assert _code(channel, method, bytes(octets)) in EXPECTED


@pytest.mark.parametrize("method", EVERY)
def test_messages_too_long_are_refused(channel: grpc.Channel, method: MethodDescriptor) -> None:
    # 17 MB of an unknown field: protobuf alone would take and keep it.
    filling = 17 * 1024 * 1024
    octets = b"\xfa\x7f" + bytes([0x80 | filling & 0x7F, 0x80 | filling >> 7 & 0x7F, 0x80 | filling >> 14 & 0x7F])
    octets += bytes([filling >> 21]) + bytes(filling)
    assert _code(channel, method, octets) is grpc.StatusCode.RESOURCE_EXHAUSTED
    _assert_well(channel)


@pytest.mark.parametrize("method", EVERY)
def test_deep_nesting_is_refused(channel: grpc.Channel, method: MethodDescriptor) -> None:
    # Groups of an unknown field within each other, which protobuf reads by recursion.
    deep = b"\x7b" * 20_000 + b"\x7c" * 20_000
    assert _code(channel, method, deep) in EXPECTED - {grpc.StatusCode.OK}
    _assert_well(channel)


def test_many_rows_that_are_nothing(channel: grpc.Channel) -> None:
    many = fraud_pb2.DESCRIPTOR.services_by_name["FraudService"].methods_by_name["PredictMany"]
    assert _code(channel, many, b"\x0a\x00" * 10_001) is grpc.StatusCode.INVALID_ARGUMENT
    assert _code(channel, many, b"\x0a\x00" * 4_000_000) in EXPECTED - {grpc.StatusCode.OK}
    _assert_well(channel)


@pytest.mark.parametrize(
    "path", ["/", "//", "/fraud.v1.FraudService/", "/fraud.v1.FraudService/predict", "/a/b/c", "/x" * 2_000]
)
def test_methods_that_are_none(channel: grpc.Channel, path: str) -> None:
    call: Callable[..., bytes] = channel.unary_unary(path)
    with pytest.raises(grpc.RpcError) as refused:
        call(b"", timeout=SECONDS)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "metadata",
    [
        [("x-request-id", "a b")],
        [("x-request-id", "x" * 10_000)],
        [("x-fraud-bucket", "many")],
        [("x-fraud-bucket", "-1"), ("x-fraud-bucket", "100")],
        [("traceparent", "00-zz-zz-zz")],
        [("traceparent", "00-" + "0" * 32 + "-" + "0" * 16 + "-01")],
        [("anything-bin", b"\xff\x00")],
        [(f"x-{number}", "a") for number in range(100)],
    ],
    ids=lambda metadata: f"{metadata[0][0]}-{len(metadata)}",
)
def test_odd_metadata_is_no_reason_to_fail(channel: grpc.Channel, metadata: list[tuple[str, Any]]) -> None:
    call: Callable[..., bytes] = channel.unary_unary(_path(UNARY[0]))
    assert call(predict_request().SerializeToString(), timeout=SECONDS, metadata=metadata)


def test_metadata_too_large_is_refused(channel: grpc.Channel) -> None:
    call: Callable[..., bytes] = channel.unary_unary(_path(UNARY[0]))
    with pytest.raises(grpc.RpcError) as refused:
        call(predict_request().SerializeToString(), timeout=SECONDS, metadata=[("x", "a" * 1_000_000)])
    # The server ends the connection; grpcio tells of the connection or of the call's stream, whichever it reads first.
    assert refused.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
    _assert_well(channel)
