"""From tensors to feature rows. Nothing here loops over elements in Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from bentos.core.errors import FieldError, InvalidInput
from bentos.core.features.definitions import FEATURE_NAMES
from bentos.fraud.inference.protocol import DATATYPES, INPUT, InputTensor
from bentos.fraud.predictor import MAXIMUM_ROWS
from bentos.fraud.scorer import FloatArray

__all__ = ["feature_rows", "refuse", "shown"]

_COLUMNS: Final = len(FEATURE_NAMES)
#: Of a name or shape in a message.
_LONGEST: Final = 64


def feature_rows(tensor: InputTensor) -> FloatArray:
    """Feature rows of the model's input, float64 [n, 21].

    Raises
    ------
    InvalidInput
        When name, datatype, shape or length are not what the model takes, or an element is no finite FP32 number.
    """
    if tensor.name != INPUT.name:
        raise refuse(f"{tensor.path}.name", f"must be {INPUT.name!r}, got {shown(tensor.name)}")
    dtype = DATATYPES.get(tensor.datatype)
    if dtype is None:
        allowed = " or ".join(DATATYPES)
        raise refuse(f"{tensor.path}.datatype", f"must be {allowed}, got {shown(tensor.datatype)}")
    shape = _row_shape(tensor)
    _check_length(tensor, shape, dtype.itemsize)
    elements = np.frombuffer(tensor.data, dtype) if isinstance(tensor.data, memoryview) else tensor.data
    with np.errstate(invalid="ignore"):
        # A signalling NaN; refused below like any other.
        rows = elements.reshape(shape).astype(np.float64)
    _refuse_infinite(rows, tensor.data_path)
    return rows


def refuse(path: str, message: str) -> InvalidInput:
    """The error of one wrong member of a request."""
    return InvalidInput([FieldError(path, message)])


def shown(value: str | Sequence[int]) -> str:
    """A caller's word or shape, cut to what fits a message."""
    text = repr(value if isinstance(value, str) else list(value[:_LONGEST]))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _row_shape(tensor: InputTensor) -> tuple[int, int]:
    shape = tuple(tensor.shape)
    if len(shape) != 2 or shape[1] != _COLUMNS or not 1 <= shape[0] <= MAXIMUM_ROWS:
        wanted = f"[n, {_COLUMNS}] with n from 1 to {MAXIMUM_ROWS}"
        raise refuse(f"{tensor.path}.shape", f"must be {wanted}, got {shown(tensor.shape)}")
    return shape[0], _COLUMNS


def _check_length(tensor: InputTensor, shape: tuple[int, int], element_bytes: int) -> None:
    elements = shape[0] * shape[1]
    if isinstance(tensor.data, memoryview):
        expected, found = elements * element_bytes, tensor.data.nbytes
        if found != expected:
            wanted = f"{expected} bytes, which {shown(shape)} of {tensor.datatype} has"
            raise refuse(tensor.data_path, f"must be {wanted}, got {found}")
    elif tensor.data.shape not in (shape, (elements,)):
        wanted = f"{elements} numbers, flat or nested as {shown(shape)}"
        raise refuse(tensor.data_path, f"must be {wanted}, got {shown(tensor.data.shape)}")


def _refuse_infinite(rows: FloatArray, path: str) -> None:
    # The model reads float32, for which a larger number is infinite.
    with np.errstate(over="ignore"):
        wrong = ~np.isfinite(rows.astype(np.float32))
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        found = f"{FEATURE_NAMES[column]} of row {row} is {rows[row, column]}"
        raise refuse(path, f"{found}, must be a finite number of FP32's range")
