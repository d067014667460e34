"""What the Open Inference Protocol speaks of: metadata, tensors, requests and answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from bentos.core.answers import ModelVersion
from bentos.core.features.definitions import FEATURE_NAMES
from bentos.fraud.scorer import FloatArray

__all__ = [
    "DATATYPES",
    "INPUT",
    "OUTPUTS",
    "SERVER",
    "InferenceAnswer",
    "InferenceRequest",
    "InputTensor",
    "ModelMetadata",
    "OutputName",
    "OutputTensor",
    "RequestedOutput",
    "ServerMetadata",
    "TensorMetadata",
    "model_metadata",
]

OutputName = Literal["score", "raw_score"]

#: Datatypes that the input may have, and how its elements lie in binary data.
DATATYPES: Final[dict[str, np.dtype[np.float32] | np.dtype[np.float64]]] = {
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}


@dataclass(frozen=True, slots=True)
class TensorMetadata:
    """Name, datatype and shape of a tensor; -1 stands for any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """What the server says of itself."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What the server says of its model."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


@dataclass(frozen=True, slots=True)
class InputTensor:
    """A tensor as it was sent.

    Parameters
    ----------
    name, datatype, shape
        As sent.
    data
        Little-endian elements in row-major order, or an array of them: flat, or nested as ``shape`` says.
    path
        Of the tensor in the request, for errors.
    data_path
        The same, of ``data``.
    parameters
        Names of its parameters.
    """

    name: str
    datatype: str
    shape: Sequence[int]
    data: memoryview | FloatArray
    path: str
    data_path: str
    parameters: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that was asked for, with the names of its parameters."""

    name: str
    parameters: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """A call of the model.

    Parameters
    ----------
    tensor
        Its input; see :attr:`INPUT`.
    outputs
        What is asked for, in this order; nothing means all.
    """

    tensor: InputTensor
    outputs: Iterable[RequestedOutput] = ()


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """One output: float64 [n], the datatype FP64."""

    name: OutputName
    values: FloatArray


@dataclass(frozen=True, slots=True)
class InferenceAnswer:
    """What the model gave."""

    model: ModelVersion
    outputs: tuple[OutputTensor, ...]


#: Elements are the features in their order; the model casts them to float32, so FP64 is taken and gains nothing.
INPUT: Final = TensorMetadata("features", "FP32", (-1, len(FEATURE_NAMES)))
#: The calibrated probability of fraud, and the model's own output.
OUTPUTS: Final[dict[OutputName, TensorMetadata]] = {
    "score": TensorMetadata("score", "FP64", (-1,)),
    "raw_score": TensorMetadata("raw_score", "FP64", (-1,)),
}
SERVER: Final = ServerMetadata("fraud_detector", "0.1.0", ("binary_tensor_data",))
#: The protocol's own word for an ONNX file.
_PLATFORM: Final = "onnx_onnxv1"


def model_metadata(model: ModelVersion) -> ModelMetadata:
    """Metadata of the one model."""
    return ModelMetadata(model.name, (model.version,), _PLATFORM, (INPUT,), tuple(OUTPUTS.values()))
