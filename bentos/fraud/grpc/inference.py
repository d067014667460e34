"""inference.GRPCInferenceService: the Open Inference Protocol, from messages to the data plane and back."""

from __future__ import annotations

from typing import Final

import numpy as np

from bentos.core.features.definitions import FEATURE_NAMES
from bentos.fraud.grpc.calls import Call
from bentos.fraud.grpc.convert import read_message
from bentos.fraud.grpc.methods import Methods, UnaryMethod
from bentos.fraud.inference.dataplane import DataPlane
from bentos.fraud.inference.protocol import (
    DATATYPES,
    OUTPUTS,
    SERVER,
    InferenceAnswer,
    InferenceRequest,
    InputTensor,
    RequestedOutput,
    TensorMetadata,
)
from bentos.fraud.inference.tensors import refuse
from bentos.fraud.predictor import MAXIMUM_ROWS
from bentos.fraud.scorer import FloatArray
from bentos.fraud.settings import ScoringSettings
from bentos.protos._generated.inference.inference_pb2 import (
    DESCRIPTOR,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    ServerLiveRequest,
    ServerLiveResponse,
    ServerMetadataRequest,
    ServerMetadataResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)

__all__ = ["SERVICE", "InferenceService"]

SERVICE: Final = DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
#: Longest message without tensors.
_LIMIT_BYTES: Final = 4096
#: Longest message with tensors: elements of 8 bytes, each with a tag when its sender does not pack, and all else.
_LIMIT_INFER_BYTES: Final = MAXIMUM_ROWS * len(FEATURE_NAMES) * 9 + 64 * 1024
#: Dimensions of a shape that are looked at: the right one has two.
_DIMENSIONS: Final = 8
#: Of the one tensor.
_PATH: Final = "inputs.0"


class InferenceService:
    """The calls of the protocol.

    Parameters
    ----------
    plane
        Answers them.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def methods(self, settings: ScoringSettings) -> Methods:
        """The service's methods, labelled as over HTTP."""
        admit, most = self._plane.predictor.admit, min(settings.many_body_limit_bytes, _LIMIT_INFER_BYTES)
        return {
            f"/{SERVICE}/ServerLive": UnaryMethod("server_live", self.server_live, _LIMIT_BYTES),
            f"/{SERVICE}/ServerReady": UnaryMethod("server_ready", self.server_ready, _LIMIT_BYTES),
            f"/{SERVICE}/ServerMetadata": UnaryMethod("server_metadata", self.server_metadata, _LIMIT_BYTES),
            f"/{SERVICE}/ModelReady": UnaryMethod("model_ready", self.model_ready, _LIMIT_BYTES),
            f"/{SERVICE}/ModelMetadata": UnaryMethod("model_metadata", self.model_metadata, _LIMIT_BYTES),
            f"/{SERVICE}/ModelInfer": UnaryMethod("infer", self.infer, most, admit),
        }

    async def server_live(self, message: bytes, _: Call) -> bytes:
        """Answers as long as the worker does."""
        read_message(ServerLiveRequest, message)
        return ServerLiveResponse(live=True).SerializeToString()

    async def server_ready(self, message: bytes, _: Call) -> bytes:
        """A worker that listens has its model loaded, so it is ready as well."""
        read_message(ServerReadyRequest, message)
        return ServerReadyResponse(ready=True).SerializeToString()

    async def server_metadata(self, message: bytes, _: Call) -> bytes:
        """Name and version of the server. Its extensions are of the HTTP form."""
        read_message(ServerMetadataRequest, message)
        return ServerMetadataResponse(name=SERVER.name, version=SERVER.version).SerializeToString()

    async def model_ready(self, message: bytes, _: Call) -> bytes:
        """Whether the model can score."""
        request = read_message(ModelReadyRequest, message)
        self._plane.check_model(request.name, request.version)
        return ModelReadyResponse(ready=True).SerializeToString()

    async def model_metadata(self, message: bytes, _: Call) -> bytes:
        """Versions and tensors of the model."""
        request = read_message(ModelMetadataRequest, message)
        found = self._plane.metadata(request.name, request.version)
        return ModelMetadataResponse(
            name=found.name,
            versions=found.versions,
            platform=found.platform,
            inputs=[_metadata(tensor) for tensor in found.inputs],
            outputs=[_metadata(tensor) for tensor in found.outputs],
        ).SerializeToString()

    async def infer(self, message: bytes, call: Call) -> bytes:
        """Score feature rows."""
        request = read_message(ModelInferRequest, message)
        self._plane.check_model(request.model_name, request.model_version)
        answer = await self._plane.infer(_request(request), call.deadline)
        return _response(answer, request.id, raw=bool(request.raw_input_contents)).SerializeToString()


def _metadata(tensor: TensorMetadata) -> ModelMetadataResponse.TensorMetadata:
    return ModelMetadataResponse.TensorMetadata(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)


def _request(request: ModelInferRequest) -> InferenceRequest:
    inputs, raw = request.inputs, request.raw_input_contents
    if len(inputs) != 1:
        raise refuse("inputs", f"must be one tensor, got {len(inputs)}")
    if len(raw) > 1:
        raise refuse("raw_input_contents", f"must be one for each input, got {len(raw)}")
    tensor = _raw_tensor(inputs[0], raw[0]) if raw else _typed_tensor(inputs[0])
    return InferenceRequest(tensor, (RequestedOutput(output.name, output.parameters) for output in request.outputs))


def _raw_tensor(tensor: ModelInferRequest.InferInputTensor, raw: bytes) -> InputTensor:
    if tensor.HasField("contents"):
        raise refuse(f"{_PATH}.contents", "must be absent when the request has raw_input_contents")
    return _tensor(tensor, memoryview(raw), "raw_input_contents.0")


def _typed_tensor(tensor: ModelInferRequest.InferInputTensor) -> InputTensor:
    if tensor.datatype not in DATATYPES:
        # The data plane refuses it; where its elements would be is not known here.
        return _tensor(tensor, np.empty(0), f"{_PATH}.contents")
    field = f"{tensor.datatype.lower()}_contents"
    for other, _ in tensor.contents.ListFields():
        if other.name != field:
            raise refuse(f"{_PATH}.contents.{other.name}", f"must be absent, {tensor.datatype} is in {field}")
    elements = getattr(tensor.contents, field)
    data: FloatArray = np.fromiter(elements, np.float64, len(elements))
    return _tensor(tensor, data, f"{_PATH}.contents.{field}")


def _tensor(tensor: ModelInferRequest.InferInputTensor, data: memoryview | FloatArray, data_path: str) -> InputTensor:
    shape = tensor.shape[:_DIMENSIONS]
    return InputTensor(tensor.name, tensor.datatype, shape, data, _PATH, data_path, tensor.parameters)


def _response(answer: InferenceAnswer, request_id: str, *, raw: bool) -> ModelInferResponse:
    response = ModelInferResponse(model_name=answer.model.name, model_version=answer.model.version, id=request_id)
    for output in answer.outputs:
        tensor = response.outputs.add(
            name=output.name, datatype=OUTPUTS[output.name].datatype, shape=output.values.shape
        )
        if raw:
            response.raw_output_contents.append(output.values.astype("<f8").tobytes())
        else:
            tensor.contents.fp64_contents.extend(output.values.tolist())
    return response
