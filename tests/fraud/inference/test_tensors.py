"""Tensors to feature rows."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bentos.core.errors import InvalidInput
from bentos.core.features import FEATURE_NAMES
from bentos.fraud.inference.protocol import DATATYPES, InputTensor
from bentos.fraud.inference.tensors import feature_rows
from bentos.fraud.scorer import FloatArray

COLUMNS = len(FEATURE_NAMES)
FLOAT32 = np.finfo(np.float32)
MATRICES = npst.arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.just(COLUMNS)),
    elements=st.floats(float(FLOAT32.min), float(FLOAT32.max)),
)


def _tensor(data: memoryview | FloatArray, **changes: Any) -> InputTensor:
    fields: dict[str, Any] = {
        "name": "features",
        "datatype": "FP64",
        "shape": [1, COLUMNS],
        "data": data,
        "path": "inputs.0",
        "data_path": "inputs.0.data",
    }
    return InputTensor(**{**fields, **changes})


def _refused(tensor: InputTensor) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as refused:
        feature_rows(tensor)
    (error,) = refused.value.errors
    return error.path, error.message


@given(MATRICES)
def test_any_form_of_the_same_numbers_gives_the_same_rows(matrix: FloatArray) -> None:
    shape = matrix.shape
    for data in (matrix, matrix.reshape(-1), memoryview(matrix.astype("<f8").tobytes())):
        rows = feature_rows(_tensor(data, shape=shape))
        np.testing.assert_array_equal(rows, matrix)
        assert rows.dtype == np.float64
        assert rows.flags.aligned
        assert rows.flags.c_contiguous


@given(MATRICES)
def test_fp32_bytes_are_widened(matrix: FloatArray) -> None:
    single = matrix.astype("<f4")
    rows = feature_rows(_tensor(memoryview(single.tobytes()), shape=matrix.shape, datatype="FP32"))
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows.astype(np.float32), single)


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4) | st.just([1, COLUMNS]),
    st.sampled_from([*DATATYPES, "INT64", ""]),
    st.binary(max_size=400) | st.binary(min_size=84, max_size=84) | st.binary(min_size=168, max_size=168),
)
def test_whatever_is_claimed_gives_finite_rows_or_a_refusal(shape: list[int], datatype: str, data: bytes) -> None:
    with contextlib.suppress(InvalidInput):
        rows = feature_rows(_tensor(memoryview(data), shape=shape, datatype=datatype))
        assert list(rows.shape) == shape
        assert np.isfinite(rows).all()


@pytest.mark.parametrize(
    "shape",
    [
        [],
        [COLUMNS],
        [0, COLUMNS],
        [-1, COLUMNS],
        [1, COLUMNS - 1],
        [COLUMNS, 1],
        [1, 1, COLUMNS],
        [10_001, COLUMNS],
        # Products that are 21 in 64 bits, or the sizes of nothing.
        [2**63 - 1, COLUMNS],
        [-(2**63), -COLUMNS],
        [2**32, 2**32],
        [1] * 100_000,
    ],
)
def test_only_rows_of_all_features_are_taken(shape: list[int]) -> None:
    path, message = _refused(_tensor(memoryview(bytes(8 * COLUMNS)), shape=shape))
    assert path == "inputs.0.shape"
    assert message.startswith(f"must be [n, {COLUMNS}] with n from 1 to 10000, got [")
    assert len(message) < 200


def test_ten_thousand_rows_are_taken() -> None:
    assert feature_rows(_tensor(np.ones((10_000, COLUMNS)), shape=[10_000, COLUMNS])).shape == (10_000, COLUMNS)


@pytest.mark.parametrize("octets", [0, 8 * COLUMNS - 1, 8 * COLUMNS + 1, 4 * COLUMNS, 16 * COLUMNS])
def test_bytes_must_be_as_many_as_the_shape_says(octets: int) -> None:
    path, message = _refused(_tensor(memoryview(bytes(octets))))
    assert path == "inputs.0.data"
    assert message == f"must be 168 bytes, which [1, 21] of FP64 has, got {octets}"


@pytest.mark.parametrize("shape", [(0,), (COLUMNS - 1,), (COLUMNS, 1), (2, COLUMNS), (1, 1, COLUMNS)])
def test_numbers_must_be_as_many_as_the_shape_says(shape: tuple[int, ...]) -> None:
    path, message = _refused(_tensor(np.zeros(shape)))
    assert path == "inputs.0.data"
    assert message.startswith("must be 21 numbers, flat or nested as [1, 21], got [")


@pytest.mark.parametrize("name", ["", "Features", "input", "f" * 100_000])
def test_the_input_has_one_name(name: str) -> None:
    path, message = _refused(_tensor(np.zeros((1, COLUMNS)), name=name))
    assert path == "inputs.0.name"
    assert len(message) < 200


@pytest.mark.parametrize("datatype", ["", "fp32", "FP16", "INT64", "BYTES", "BOOL", "X" * 100_000])
def test_only_fp32_and_fp64_are_taken(datatype: str) -> None:
    path, message = _refused(_tensor(np.zeros((1, COLUMNS)), datatype=datatype))
    assert path == "inputs.0.datatype"
    assert message.startswith("must be FP32 or FP64, got ")
    assert len(message) < 200


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39, -1e300])
@pytest.mark.parametrize("binary", [False, True])
def test_an_element_that_the_model_cannot_read_is_named(value: float, binary: bool) -> None:
    matrix = np.ones((3, COLUMNS))
    matrix[2, 5] = value
    path, message = _refused(_tensor(memoryview(matrix.tobytes()) if binary else matrix, shape=matrix.shape))
    assert path == "inputs.0.data"
    assert message == f"{FEATURE_NAMES[5]} of row 2 is {value}, must be a finite number of FP32's range"
