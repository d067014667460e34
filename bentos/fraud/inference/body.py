"""Bodies of the protocol's HTTP form: a JSON object and, by the binary tensor extension, tensors as bytes after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails, to_json

from bentos.core.errors import FieldError, InvalidInput
from bentos.core.features.definitions import FEATURE_NAMES
from bentos.fraud.crowds import refuse_crowded
from bentos.fraud.inference.protocol import (
    OUTPUTS,
    InferenceAnswer,
    InferenceRequest,
    InputTensor,
    RequestedOutput,
)
from bentos.fraud.inference.tensors import refuse
from bentos.fraud.predictor import MAXIMUM_ROWS
from bentos.fraud.scorer import FloatArray

__all__ = ["InferenceBody", "read_body", "write_body"]

#: Of the one tensor.
_PATH: Final = "inputs.0"
_DATA: Final = ("inputs", 0, "data")
#: Readers of binary data take lengths as signed 64-bit numbers.
_INT64: Final = 2**63 - 1
#: Of a shape that is read; the right one has two.
_DIMENSIONS: Final = 8
#: JSON values of a request: its rows, their elements, and all else.
_MOST_VALUES: Final = MAXIMUM_ROWS * (1 + len(FEATURE_NAMES)) + 1000

_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Flat = Annotated[list[_Number], Field(fail_fast=True, max_length=MAXIMUM_ROWS * len(FEATURE_NAMES))]
_Row = Annotated[list[_Number], Field(fail_fast=True, max_length=len(FEATURE_NAMES))]
_Nested = Annotated[list[_Row], Field(fail_fast=True, max_length=MAXIMUM_ROWS)]
_Integer = Annotated[int, Field(strict=True, ge=-_INT64, le=_INT64)]
_Bool = Annotated[bool, Field(strict=True)]


class _InputParameters(BaseModel):
    binary_data_size: Annotated[int, Field(strict=True, ge=0, le=_INT64)] | None = None
    shared_memory_region: Any = None


class _OutputParameters(BaseModel):
    binary_data: _Bool | None = None
    shared_memory_region: Any = None
    classification: Any = None


class _RequestParameters(BaseModel):
    binary_data_output: _Bool = False


class _Input(BaseModel):
    name: str
    datatype: str
    shape: Annotated[list[_Integer], Field(fail_fast=True, max_length=_DIMENSIONS)]
    parameters: _InputParameters = _InputParameters()
    data: Annotated[_Flat | _Nested, Field(union_mode="left_to_right")] | None = None


class _Output(BaseModel):
    name: str
    parameters: _OutputParameters = _OutputParameters()


class _Request(BaseModel):
    id: str | None = None
    parameters: _RequestParameters = _RequestParameters()
    inputs: Annotated[list[_Input], Field(min_length=1, max_length=1)]
    outputs: Annotated[list[_Output], Field(max_length=len(OUTPUTS))] = []


@dataclass(frozen=True, slots=True)
class InferenceBody:
    """A request as it came.

    Parameters
    ----------
    request
        What is asked.
    id
        Comes back in the answer; None when there is none.
    binary
        Names of the outputs that are to come back as bytes.
    """

    request: InferenceRequest
    id: str | None
    binary: frozenset[str]


def read_body(body: bytes, json_bytes: int | None) -> InferenceBody:
    """Read a request.

    Parameters
    ----------
    body
        JSON, and perhaps binary tensors.
    json_bytes
        Length of the JSON; None when there is nothing else.

    Raises
    ------
    InvalidInput
        When it is no request of the protocol, or binary data is missing or left over.
    """
    content = body if json_bytes is None else body[:json_bytes]
    refuse_crowded(content, _MOST_VALUES)
    try:
        parsed = _Request.model_validate_json(content)
    except ValidationError as error:
        raise InvalidInput(_field_errors(error)) from error
    tensor = _tensor(parsed.inputs[0], memoryview(body)[len(content) :])
    outputs = [RequestedOutput(output.name, _names(output.parameters)) for output in parsed.outputs]
    return InferenceBody(InferenceRequest(tensor, outputs), parsed.id, _binary_outputs(parsed))


def write_body(answer: InferenceAnswer, request: InferenceBody) -> tuple[bytes, int | None]:
    """An answer's body, and the length of its JSON when binary tensors follow, else None."""
    outputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for output in answer.outputs:
        datatype, shape = OUTPUTS[output.name].datatype, output.values.shape
        described: dict[str, Any] = {"name": output.name, "datatype": datatype, "shape": shape}
        if output.name in request.binary:
            tail.append(output.values.astype("<f8").tobytes())
            described["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            described["data"] = output.values.tolist()
        outputs.append(described)
    model = {"model_name": answer.model.name, "model_version": answer.model.version}
    named = {} if request.id is None else {"id": request.id}
    head = to_json({**model, **named, "outputs": outputs})
    return (b"".join((head, *tail)), len(head)) if tail else (head, None)


def _tensor(sent: _Input, tail: memoryview) -> InputTensor:
    size = sent.parameters.binary_data_size
    if sent.data is not None and size is not None:
        raise refuse(f"{_PATH}.data", "a tensor has either data or the parameter binary_data_size")
    if len(tail) != (size or 0):
        raise refuse(
            f"{_PATH}.parameters.binary_data_size", f"announces {size or 0} bytes, {len(tail)} follow the JSON"
        )
    # No data at all is as much as none of the elements that the shape asks for.
    data: memoryview | FloatArray = _array(sent.data or []) if size is None else tail
    data_path = f"{_PATH}.data" if size is None else f"{_PATH}.parameters.binary_data_size"
    return InputTensor(sent.name, sent.datatype, sent.shape, data, _PATH, data_path, _names(sent.parameters))


def _array(data: list[float] | list[list[float]]) -> FloatArray:
    try:
        return np.array(data, np.float64)
    except ValueError as error:
        raise refuse(f"{_PATH}.data", "must have rows of one length") from error


def _binary_outputs(request: _Request) -> frozenset[str]:
    default = request.parameters.binary_data_output
    wished = {output.name: output.parameters.binary_data for output in request.outputs}
    return frozenset(name for name in OUTPUTS if (default if wished.get(name) is None else wished[name]))


def _names(parameters: BaseModel) -> set[str]:
    return parameters.model_fields_set


def _field_errors(error: ValidationError) -> list[FieldError]:
    items = error.errors(include_url=False, include_context=False, include_input=False)
    data = [item for item in items if item["loc"][:3] == _DATA]
    others = [FieldError(".".join(map(str, item["loc"])) or "body", item["msg"]) for item in items if item not in data]
    return [*others, *([_data_error(data)] if data else [])]


def _data_error(items: list[ErrorDetails]) -> FieldError:
    # Of the two forms that data may have, the one is meant in which it was read the farthest.
    meant = max(items, key=lambda item: (item["type"] == "too_long", item["loc"][4:]))
    return FieldError(".".join(map(str, (*_DATA, *meant["loc"][4:]))), meant["msg"])
