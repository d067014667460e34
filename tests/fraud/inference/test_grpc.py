"""The gRPC form, against a running server: typed and raw tensors, and what is wrong with a message."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor import Descriptor
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.core.features import FEATURE_NAMES
from bentos.fraud.scorer import FloatArray, Scorer
from bentos.protos._generated.inference import inference_pb2
from bentos.protos._generated.inference.inference_pb2 import (
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelReadyRequest,
)

COLUMNS = len(FEATURE_NAMES)
SERVICE = "/inference.GRPCInferenceService"
INFER = f"{SERVICE}/ModelInfer"

#: Prints the descriptors that tritonclient brings, as those of this product are read below.
_TRITON_FIELDS = """
import json
from tritonclient.grpc import service_pb2
def fields(message):
    found = {f.name: [f.number, f.type, f.message_type.full_name if f.message_type else "", f.is_repeated]
             for f in message.fields}
    return {message.full_name: found, **{k: v for n in message.nested_types for k, v in fields(n).items()}}
messages = {k: v for m in service_pb2.DESCRIPTOR.message_types_by_name.values() for k, v in fields(m).items()}
methods = {m.name: [m.input_type.full_name, m.output_type.full_name]
           for m in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods}
print(json.dumps([messages, methods]))
"""


@pytest.fixture(scope="module")
def channel(grpc_address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(grpc_address) as opened:
        yield opened


def _call(channel: grpc.Channel, path: str, message: bytes) -> bytes:
    method: Callable[..., bytes] = channel.unary_unary(path)
    return method(message, timeout=30)


def _infer(channel: grpc.Channel, request: ModelInferRequest) -> ModelInferResponse:
    return ModelInferResponse.FromString(_call(channel, INFER, request.SerializeToString()))


def _refused(channel: grpc.Channel, path: str, message: bytes, code: grpc.StatusCode) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as refused:
        _call(channel, path, message)
    assert refused.value.code() is code, refused.value
    assert len(refused.value.details()) < 300
    return refused.value


def _wrong_path(channel: grpc.Channel, path: str, message: bytes) -> str:
    """The one path that a call is told to be wrong."""
    error = _refused(channel, path, message, grpc.StatusCode.INVALID_ARGUMENT)
    status = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    bad = BadRequest()
    assert status.details[0].Unpack(bad)
    (violation,) = bad.field_violations
    found: str = violation.field
    return found


def _request(rows: FloatArray, *, datatype: str = "FP64", raw: bool = False, **changes: Any) -> ModelInferRequest:
    tensor: dict[str, Any] = {"name": "features", "datatype": datatype, "shape": rows.shape}
    if raw:
        element = {"FP32": "<f4", "FP64": "<f8"}[datatype]
        changes = {"raw_input_contents": [rows.astype(element).tobytes()], **changes}
    else:
        tensor["contents"] = InferTensorContents(**{f"{datatype.lower()}_contents": rows.reshape(-1).tolist()})
    return ModelInferRequest(**{"model_name": "fraud_detector", "inputs": [tensor], **changes})


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
@pytest.mark.parametrize("raw", [False, True])
def test_answers_have_the_form_of_their_request(
    channel: grpc.Channel, rows: FloatArray, scorer: Scorer, datatype: str, raw: bool
) -> None:
    response = _infer(channel, _request(rows, datatype=datatype, raw=raw, id="a"))
    assert (response.model_name, response.model_version, response.id) == ("fraud_detector", "7", "a")
    assert [(output.name, output.datatype, list(output.shape)) for output in response.outputs] == [
        ("score", "FP64", [200]),
        ("raw_score", "FP64", [200]),
    ]
    found = (
        [np.frombuffer(data, "<f8") for data in response.raw_output_contents]
        if raw
        else [np.array(output.contents.fp64_contents) for output in response.outputs]
    )
    assert len(response.raw_output_contents) == (2 if raw else 0)
    expected = scorer.score(rows)
    np.testing.assert_array_equal(found, [expected[1], expected[0]])


def _tensor(**changes: Any) -> dict[str, Any]:
    contents = InferTensorContents(fp64_contents=[0.5] * COLUMNS)
    return {"name": "features", "datatype": "FP64", "shape": [1, COLUMNS], "contents": contents, **changes}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"inputs": []}, "inputs"),
        ({"inputs": [_tensor()] * 2}, "inputs"),
        ({"inputs": [_tensor(name="x")]}, "inputs.0.name"),
        ({"inputs": [_tensor(datatype="")]}, "inputs.0.datatype"),
        ({"inputs": [_tensor(datatype="contents")]}, "inputs.0.datatype"),
        ({"inputs": [_tensor(shape=[1, -COLUMNS])]}, "inputs.0.shape"),
        ({"inputs": [_tensor(shape=[2**63 - 1, COLUMNS])]}, "inputs.0.shape"),
        ({"inputs": [_tensor(shape=[10_001, COLUMNS])]}, "inputs.0.shape"),
        ({"inputs": [_tensor(shape=[1] * 100_000)]}, "inputs.0.shape"),
        ({"inputs": [_tensor(shape=[2, COLUMNS])]}, "inputs.0.contents.fp64_contents"),
        ({"inputs": [_tensor(contents=None)]}, "inputs.0.contents.fp64_contents"),
        ({"inputs": [_tensor(datatype="FP32")]}, "inputs.0.contents.fp64_contents"),
        (
            {"inputs": [_tensor(contents=InferTensorContents(fp64_contents=[float("nan")] * COLUMNS))]},
            "inputs.0.contents.fp64_contents",
        ),
        ({"raw_input_contents": [bytes(168)]}, "inputs.0.contents"),
        ({"raw_input_contents": [bytes(168)] * 2}, "raw_input_contents"),
        (
            {"inputs": [_tensor(contents=None)], "raw_input_contents": [bytes(167)]},
            "raw_input_contents.0",
        ),
        ({"inputs": [_tensor(contents=None)], "raw_input_contents": [b""]}, "raw_input_contents.0"),
        (
            {"inputs": [_tensor(contents=None)], "raw_input_contents": [b"\xff" * 168]},
            "raw_input_contents.0",
        ),
        ({"outputs": [{"name": "label"}]}, "outputs.0.name"),
        ({"outputs": [{"name": "score"}, {"name": "score"}]}, "outputs.1.name"),
    ],
)
def test_a_wrong_request_is_named(channel: grpc.Channel, changes: dict[str, Any], path: str) -> None:
    request = ModelInferRequest(**{"model_name": "fraud_detector", "inputs": [_tensor()], **changes})
    assert _wrong_path(channel, INFER, request.SerializeToString()) == path


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("ModelInfer", ModelInferRequest(model_name="other")),
        ("ModelInfer", ModelInferRequest(model_name="fraud_detector", model_version="8")),
        ("ModelMetadata", ModelMetadataRequest(name="")),
        ("ModelReady", ModelReadyRequest(name="fraud_detector", version="8")),
    ],
)
def test_other_models_are_not_found(channel: grpc.Channel, method: str, message: Any) -> None:
    error = _refused(channel, f"{SERVICE}/{method}", message.SerializeToString(), grpc.StatusCode.NOT_FOUND)
    assert "here, only" in error.details()


@pytest.mark.parametrize(
    "method", ["ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelInfer"]
)
def test_what_is_no_message_is_refused(channel: grpc.Channel, method: str) -> None:
    assert _wrong_path(channel, f"{SERVICE}/{method}", b"\xff\xff") == "message"


def test_more_elements_than_any_request_has_are_not_even_read(channel: grpc.Channel) -> None:
    _refused(channel, INFER, b"\x2a\x00" * 1_100_000, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert _wrong_path(channel, INFER, _request(np.ones((10_001, COLUMNS))).SerializeToString()) == "inputs.0.shape"


@settings(max_examples=200)
@given(
    st.builds(
        ModelInferRequest,
        model_name=st.just("fraud_detector"),
        id=st.text(max_size=5),
        inputs=st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.sampled_from(["features", "x"]),
                    "datatype": st.sampled_from(["FP32", "FP64", "INT32", ""]),
                    "shape": st.just([1, COLUMNS]) | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
                    "contents": st.none() | st.builds(InferTensorContents, fp64_contents=st.lists(st.floats())),
                }
            ),
            max_size=2,
        ),
        raw_input_contents=st.lists(st.binary(max_size=200) | st.just(bytes(168)), max_size=2),
    ).map(lambda request: request.SerializeToString())
    | st.binary(max_size=100)
)
def test_any_message_is_answered_or_refused_clearly(channel: grpc.Channel, message: bytes) -> None:
    try:
        _call(channel, INFER, message)
    except grpc.RpcError as error:
        assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)  # noqa: PT017


def _fields(message: Descriptor) -> dict[str, dict[str, list[Any]]]:
    found = {
        field.name: [
            field.number,
            field.type,
            field.message_type.full_name if field.message_type else "",
            field.is_repeated,
        ]
        for field in message.fields
    }
    nested = [_fields(inner) for inner in message.nested_types]
    return {message.full_name: found, **{name: fields for inner in nested for name, fields in inner.items()}}


def test_messages_are_those_of_tritonclient() -> None:
    done = subprocess.run([sys.executable, "-c", _TRITON_FIELDS], capture_output=True, text=True, check=True)
    theirs, their_methods = json.loads(done.stdout)
    descriptor = inference_pb2.DESCRIPTOR
    for message in descriptor.message_types_by_name.values():
        for name, fields in _fields(message).items():
            assert theirs[name] == fields
    for method in descriptor.services_by_name["GRPCInferenceService"].methods:
        assert their_methods[method.name] == [method.input_type.full_name, method.output_type.full_name]
