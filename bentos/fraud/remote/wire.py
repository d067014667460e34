"""Messages of the Open Inference Protocol as its client sends and reads them. What a server answers is not trusted."""

from __future__ import annotations

from math import prod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import ConfigError, Unavailable
from bentos.fraud.inference.protocol import DATATYPES, INPUT, OUTPUTS
from bentos.fraud.scorer import FloatArray
from bentos.protos._generated.inference.inference_pb2 import (
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataResponse,
)

__all__ = ["check_metadata", "infer_request", "read_scores", "usable"]

_NAMES: Final = ("raw_score", "score")
_FP32: Final = DATATYPES["FP32"]


def infer_request(rows: FloatArray, name: str, version: str) -> ModelInferRequest:
    """Ask for both outputs of feature rows, float64 [n, 21]; sent as FP32, which is what the model reads."""
    return ModelInferRequest(
        model_name=name,
        model_version=version,
        inputs=[ModelInferRequest.InferInputTensor(name=INPUT.name, datatype=INPUT.datatype, shape=rows.shape)],
        outputs=[ModelInferRequest.InferRequestedOutputTensor(name=output) for output in _NAMES],
        raw_input_contents=[rows.astype(_FP32).tobytes()],
    )


def read_scores(response: ModelInferResponse, rows: int, name: str, version: str) -> tuple[FloatArray, FloatArray]:
    """Raw scores and scores, float64 [rows] each. They may be no scores at all: see :func:`usable`.

    Raises
    ------
    Unavailable
        When another model answered, or not with one number a row in both outputs.
    """
    found = response.model_name, response.model_version
    if found[0] not in ("", name) or (version and found[1] not in ("", version)):
        raise Unavailable(f"model {found[0]!r} version {found[1]!r} answered, asked was {name!r} version {version!r}")
    raw, score = (_read(response, output, rows) for output in _NAMES)
    return raw, score


def usable(raw: FloatArray, score: FloatArray) -> NDArray[np.bool_]:
    """Which rows have a score, bool [n]: every comparison with NaN is false, so one would be approved."""
    good: NDArray[np.bool_] = np.isfinite(raw) & (score >= 0.0) & (score <= 1.0)
    return good


def check_metadata(metadata: ModelMetadataResponse, name: str, version: str) -> None:
    """Refuse a model of another name or version, or with other tensors, where the server tells them.

    Raises
    ------
    ConfigError
        With what the server said.
    """
    if metadata.name != name:
        raise ConfigError(f"it serves the model {metadata.name!r}, asked was {name!r}")
    if version and metadata.versions and version not in metadata.versions:
        raise ConfigError(f"it serves versions {list(metadata.versions)} of {name!r}, not {version!r}")
    inputs = {tensor.name: tensor for tensor in metadata.inputs}
    if inputs and set(inputs) != {INPUT.name}:
        raise ConfigError(f"its model {name!r} has the inputs {sorted(inputs)}, expected {[INPUT.name]}")
    for tensor in inputs.values():
        shape = tuple(tensor.shape)
        if tensor.datatype not in DATATYPES or (shape and shape[-1] not in (-1, INPUT.shape[-1])):
            expected = f"{INPUT.datatype} {list(INPUT.shape)}"
            raise ConfigError(f"its input {tensor.name!r} is {tensor.datatype} {list(shape)}, expected {expected}")
    outputs = {tensor.name for tensor in metadata.outputs}
    if outputs and not set(OUTPUTS) <= outputs:
        raise ConfigError(f"its model {name!r} has the outputs {sorted(outputs)}, expected {sorted(OUTPUTS)}")


def _read(response: ModelInferResponse, name: str, rows: int) -> FloatArray:
    names = [tensor.name for tensor in response.outputs]
    if name not in names:
        raise Unavailable(f"the answer has no output {name!r}, only {names}")
    index = names.index(name)
    tensor = response.outputs[index]
    shape = tuple(tensor.shape)
    # Triton gives [n, 1] for what it batches itself.
    if not shape or shape[0] != rows or prod(shape) != rows:
        raise Unavailable(f"the output {name!r} has the shape {list(shape)}, {rows} rows were sent")
    dtype = DATATYPES.get(tensor.datatype)
    if dtype is None:
        raise Unavailable(f"the output {name!r} is {tensor.datatype}, expected {' or '.join(DATATYPES)}")
    if response.raw_output_contents:
        content = response.raw_output_contents[index] if index < len(response.raw_output_contents) else b""
        if len(content) != rows * dtype.itemsize:
            raise Unavailable(f"the output {name!r} has {len(content)} bytes, {rows * dtype.itemsize} were expected")
        return np.frombuffer(content, dtype).astype(np.float64)
    elements = tensor.contents.fp64_contents if tensor.datatype == "FP64" else tensor.contents.fp32_contents
    if len(elements) != rows:
        raise Unavailable(f"the output {name!r} has {len(elements)} elements, {rows} were expected")
    return np.fromiter(elements, np.float64, rows)
