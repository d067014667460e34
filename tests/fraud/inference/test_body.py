"""Bodies of the HTTP form."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.core.answers import ModelVersion
from bentos.core.errors import InvalidInput
from bentos.fraud.inference.body import InferenceBody, read_body, write_body
from bentos.fraud.inference.protocol import InferenceAnswer, InferenceRequest, InputTensor, OutputTensor

TENSOR = InputTensor("features", "FP64", [], np.empty(0), "inputs.0", "inputs.0.data")
ANSWER = InferenceAnswer(
    ModelVersion(name="m", version="7"),
    (OutputTensor("raw_score", np.array([0.25, 1e-17])), OutputTensor("score", np.array([0.1, 1.0]))),
)


def _input(**changes: Any) -> dict[str, Any]:
    fields = {"name": "features", "datatype": "FP32", "shape": [1, 2], "data": [1, 2.5], **changes}
    return {name: value for name, value in fields.items() if value is not None}


def _body(*inputs: dict[str, Any], **members: Any) -> bytes:
    return json.dumps({"inputs": inputs, **members}).encode()


def _refused(body: bytes, json_bytes: int | None = None) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        read_body(body, json_bytes)
    return [error.path for error in refused.value.errors]


@pytest.mark.parametrize("data", [[1, 2.5], [[1, 2.5]]])
def test_data_is_flat_or_nested(data: list[Any]) -> None:
    tensor = read_body(_body(_input(data=data)), None).request.tensor
    np.testing.assert_array_equal(np.ravel(tensor.data), [1, 2.5])


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ("[1, true]", "inputs.0.data.1"),
        ('[1, "2"]', "inputs.0.data.1"),
        ("[1, null]", "inputs.0.data.1"),
        ("[1, NaN]", "inputs.0.data.1"),
        ("[-Infinity]", "inputs.0.data.0"),
        ("[1e999]", "inputs.0.data.0"),
        ("[1" + "0" * 400 + "]", "inputs.0.data.0"),
        ("[1, [2]]", "inputs.0.data.1"),
        ("[[1, 2], 3]", "inputs.0.data.1"),
        ("[[1, 2], [3, {}]]", "inputs.0.data.1.1"),
        ("[[[1, 2]]]", "inputs.0.data.0.0"),
        ("[[1, 2], [3]]", "inputs.0.data"),
        ("[true]", "inputs.0.data.0"),
        ("[[1], true]", "inputs.0.data.1"),
        (str([1] * 210_001), "inputs.0.data"),
        (str([[1]] * 10_001), "inputs.0.data"),
        (str([[1] * 21, [1] * 22]), "inputs.0.data.1"),
        ("{}", "inputs.0.data"),
        ("7", "inputs.0.data"),
        ('"AAAA"', "inputs.0.data"),
        ("[1,]", "body"),
        ("[1" + "0" * 5000 + "]", "body"),
        ("[" * 5000 + "]" * 5000, "body"),
    ],
)
def test_wrong_data_is_named(data: str, path: str) -> None:
    body = _body(_input(data="DATA")).replace(b'"DATA"', data.encode())
    assert _refused(body) == [path]


def test_many_wrong_elements_are_one_error() -> None:
    assert _refused(_body(_input(data=[None] * 1000))) == ["inputs.0.data.0"]
    assert _refused(_body(_input(shape=[None] * 1000))) == ["inputs.0.shape.0"]
    assert _refused(_body(*[_input()] * 1000)) == ["inputs"]
    assert _refused(_body(_input(), outputs=[{}] * 1000)) == ["outputs"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": None}, "inputs.0.name"),
        ({"name": 7}, "inputs.0.name"),
        ({"datatype": None}, "inputs.0.datatype"),
        ({"shape": None}, "inputs.0.shape"),
        ({"shape": [1.5]}, "inputs.0.shape.0"),
        ({"shape": [True]}, "inputs.0.shape.0"),
        ({"shape": [2**63]}, "inputs.0.shape.0"),
        ({"shape": [10**4000]}, "inputs.0.shape.0"),
        ({"shape": [1] * 9}, "inputs.0.shape"),
        ({"parameters": []}, "inputs.0.parameters"),
        ({"parameters": {"binary_data_size": 4}}, "inputs.0.data"),
        ({"data": None, "parameters": {"binary_data_size": -1}}, "inputs.0.parameters.binary_data_size"),
        ({"data": None, "parameters": {"binary_data_size": "4"}}, "inputs.0.parameters.binary_data_size"),
        ({"data": None, "parameters": {"binary_data_size": 2**70}}, "inputs.0.parameters.binary_data_size"),
        ({"data": None, "parameters": {"binary_data_size": 2**63 - 1}}, "inputs.0.parameters.binary_data_size"),
        ({"data": None, "parameters": {"binary_data_size": 1}}, "inputs.0.parameters.binary_data_size"),
    ],
)
def test_a_wrong_input_is_named(changes: dict[str, Any], path: str) -> None:
    assert _refused(_body(_input(**changes))) == [path]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "body"),
        (b"\xff\xfe", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b"{}", "inputs"),
        (b'{"inputs": {}}', "inputs"),
        (b'{"inputs": []}', "inputs"),
        (b'{"inputs": [7]}', "inputs.0"),
        (_body(_input(), id=7), "id"),
        (_body(_input(), outputs=[{}]), "outputs.0.name"),
        (_body(_input(), outputs=["score"]), "outputs.0"),
        (
            _body(_input(), outputs=[{"name": "score", "parameters": {"binary_data": 1}}]),
            "outputs.0.parameters.binary_data",
        ),
        (_body(_input(), outputs=[{"name": "score"}] * 3), "outputs"),
        (_body(_input(), parameters=7), "parameters"),
        (_body(_input(), parameters={"binary_data_output": 1}), "parameters.binary_data_output"),
        (_body(_input(), _input()), "inputs"),
    ],
)
def test_what_is_no_request_is_refused(body: bytes, path: str) -> None:
    assert _refused(body) == [path]


def test_a_binary_tensor_follows_the_json() -> None:
    head = _body(_input(data=None, parameters={"binary_data_size": 3}))
    tensor = read_body(head + b"abc", len(head)).request.tensor
    assert isinstance(tensor.data, memoryview)
    assert tensor.data == b"abc"
    assert tensor.data_path == "inputs.0.parameters.binary_data_size"


@pytest.mark.parametrize("tail", [b"", b"ab", b"abcd", b"abc" * 1000])
def test_a_binary_tensor_must_fill_the_body(tail: bytes) -> None:
    head = _body(_input(data=None, parameters={"binary_data_size": 3}))
    assert _refused(head + tail, len(head)) == ["inputs.0.parameters.binary_data_size"]


def test_bytes_that_nothing_announces_are_refused() -> None:
    assert _refused(_body(_input()) + b"abc", len(_body(_input()))) == ["inputs.0.parameters.binary_data_size"]


@given(st.binary(max_size=300), st.integers(1, 300) | st.none())
def test_any_bytes_are_refused(body: bytes, json_bytes: int | None) -> None:
    assert _refused(body, json_bytes)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_any_members_are_read_or_refused(anything: object) -> None:
    for body in (_body(_input(data=anything)), _body(_input(shape=anything)), _body(_input(), outputs=anything)):
        with contextlib.suppress(InvalidInput):
            assert read_body(body, None).request.tensor.name == "features"


@pytest.mark.parametrize("value", ["[]", "1", "{}", "[1]", "[[[[[[[[]]]]]]]]"])
def test_more_values_than_any_request_has_are_not_even_read(value: str) -> None:
    assert _refused(f'{{"inputs": [{", ".join([value] * 250_000)}]}}'.encode()) == ["body"]


def test_unknown_members_and_parameters_are_ignored() -> None:
    body = _body(_input(parameters={"content_type": "np"}), model_name="m", parameters={"priority": 1})
    assert read_body(body, None).request.tensor.name == "features"


def _asked(*binary: str, request_id: str | None = None) -> InferenceBody:
    return InferenceBody(InferenceRequest(TENSOR), request_id, frozenset(binary))


def test_an_answer_is_json_unless_asked_otherwise() -> None:
    body, json_bytes = write_body(ANSWER, _asked(request_id="7é"))
    assert json_bytes is None
    assert json.loads(body) == {
        "model_name": "m",
        "model_version": "7",
        "id": "7é",
        "outputs": [
            {"name": "raw_score", "datatype": "FP64", "shape": [2], "data": [0.25, 1e-17]},
            {"name": "score", "datatype": "FP64", "shape": [2], "data": [0.1, 1.0]},
        ],
    }


def test_outputs_can_be_bytes() -> None:
    body, json_bytes = write_body(ANSWER, _asked("score"))
    head = json.loads(body[:json_bytes])
    assert "id" not in head
    assert head["outputs"][0]["data"] == [0.25, 1e-17]
    assert head["outputs"][1] == {
        "name": "score",
        "datatype": "FP64",
        "shape": [2],
        "parameters": {"binary_data_size": 16},
    }
    assert body[json_bytes:] == np.array([0.1, 1.0]).astype("<f8").tobytes()


@pytest.mark.parametrize(
    ("default", "wishes", "binary"),
    [
        (None, {}, set()),
        (True, {}, {"score", "raw_score"}),
        (False, {"score": True}, {"score"}),
        (True, {"score": False}, {"raw_score"}),
        (True, {"score": None}, {"score", "raw_score"}),
    ],
)
def test_an_outputs_own_wish_comes_first(
    default: bool | None, wishes: dict[str, bool | None], binary: set[str]
) -> None:
    parameters = {} if default is None else {"binary_data_output": default}
    outputs = [
        {"name": name, "parameters": {} if wish is None else {"binary_data": wish}} for name, wish in wishes.items()
    ]
    assert read_body(_body(_input(), parameters=parameters, outputs=outputs), None).binary == binary
