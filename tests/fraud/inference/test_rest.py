"""The HTTP form, against a running server: right answers, and problem documents with the protocol's ``error``."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest

from bentos.core.features import FEATURE_NAMES
from bentos.fraud.scorer import FloatArray, Scorer
from tests.waiting import eventually

MODEL = "/v2/models/fraud_detector"
INFER = f"{MODEL}/infer"
LENGTH = "Inference-Header-Content-Length"
COLUMNS = len(FEATURE_NAMES)


def _request(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "features", "datatype": "FP64", "shape": [1, COLUMNS], "data": [0.5] * COLUMNS, **changes}
    return {"inputs": [tensor]}


def _binary(rows: FloatArray, size: int | None = None) -> bytes:
    parameters = {"binary_data_size": rows.nbytes if size is None else size}
    tensor = {"name": "features", "datatype": "FP64", "shape": rows.shape, "parameters": parameters}
    return json.dumps({"inputs": [tensor]}).encode()


def _problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    assert document["error"]
    return document


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v2", {"name": "fraud_detector", "version": "0.1.0", "extensions": ["binary_tensor_data"]}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        (f"{MODEL}/ready", {"name": "fraud_detector", "ready": True}),
        (f"{MODEL}/versions/7/ready", {"name": "fraud_detector", "ready": True}),
    ],
)
def test_pages(client: httpx.Client, path: str, answer: dict[str, Any]) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.json() == answer
    assert client.head(path).status_code == 200


def test_metadata_name_the_tensors(client: httpx.Client) -> None:
    metadata = client.get(MODEL).json()
    assert metadata == {
        "name": "fraud_detector",
        "versions": ["7"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, COLUMNS]}],
        "outputs": [
            {"name": "score", "datatype": "FP64", "shape": [-1]},
            {"name": "raw_score", "datatype": "FP64", "shape": [-1]},
        ],
    }
    assert client.get(f"{MODEL}/versions/7").json() == metadata


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("path", [INFER, f"{MODEL}/versions/7/infer"])
def test_json_is_scored(client: httpx.Client, rows: FloatArray, scorer: Scorer, path: str, nested: bool) -> None:
    data = (rows if nested else rows.reshape(-1)).tolist()
    response = client.post(path, json={"id": "a", **_request(shape=rows.shape, data=data)})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    raw, score = scorer.score(rows)
    assert answer == {
        "model_name": "fraud_detector",
        "model_version": "7",
        "id": "a",
        "outputs": [
            {"name": "score", "datatype": "FP64", "shape": [200], "data": score.tolist()},
            {"name": "raw_score", "datatype": "FP64", "shape": [200], "data": raw.tolist()},
        ],
    }


@pytest.mark.parametrize("content_type", ["application/octet-stream", "application/json"])
def test_bytes_are_scored(client: httpx.Client, rows: FloatArray, scorer: Scorer, content_type: str) -> None:
    head = _binary(rows).replace(
        b'{"inputs"', b'{"outputs": [{"name": "score", "parameters": {"binary_data": true}}], "inputs"'
    )
    headers = {LENGTH: str(len(head)), "content-type": content_type}
    response = client.post(INFER, content=head + rows.astype("<f8").tobytes(), headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers[LENGTH])
    (output,) = json.loads(response.content[:length])["outputs"]
    assert output == {"name": "score", "datatype": "FP64", "shape": [200], "parameters": {"binary_data_size": 1600}}
    np.testing.assert_array_equal(np.frombuffer(response.content[length:], "<f8"), scorer.score(rows)[1])


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": "x"}, "inputs.0.name"),
        ({"datatype": "BYTES"}, "inputs.0.datatype"),
        ({"shape": [1, -COLUMNS]}, "inputs.0.shape"),
        ({"shape": [2**62, COLUMNS]}, "inputs.0.shape"),
        ({"shape": [10_001, COLUMNS]}, "inputs.0.shape"),
        ({"shape": [2, COLUMNS]}, "inputs.0.data"),
        ({"data": None}, "inputs.0.data"),
        ({"data": [[0.5] * COLUMNS] * 2}, "inputs.0.data"),
        ({"data": [1e300] * COLUMNS}, "inputs.0.data"),
        ({"data": ["0.5"] * COLUMNS}, "inputs.0.data.0"),
        ({"parameters": {"binary_data_size": 168}}, "inputs.0.data"),
        ({"data": None, "parameters": {"shared_memory_region": "r"}}, "inputs.0.parameters.shared_memory_region"),
    ],
)
def test_a_wrong_tensor_is_named(client: httpx.Client, changes: dict[str, Any], path: str) -> None:
    document = _problem(client.post(INFER, json=_request(**changes)), 422)
    (error,) = document["errors"]
    assert error["path"] == path
    assert document["error"] == f"{path}: {error['message']}"


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"inputs": []}, "inputs"),
        ({"inputs": _request()["inputs"] * 2}, "inputs"),
        ({"outputs": [{"name": "score"}, {"name": "score"}]}, "outputs.1.name"),
        ({"outputs": [{"name": "label"}]}, "outputs.0.name"),
        ({"outputs": [{"name": "score", "parameters": {"classification": 2}}]}, "outputs.0.parameters.classification"),
        (
            {"outputs": [{"name": "score", "parameters": {"shared_memory_region": "r"}}]},
            "outputs.0.parameters.shared_memory_region",
        ),
        ({"id": 7}, "id"),
    ],
)
def test_a_wrong_request_is_named(client: httpx.Client, members: dict[str, Any], path: str) -> None:
    document = _problem(client.post(INFER, json={**_request(), **members}), 422)
    assert [error["path"] for error in document["errors"]] == [path]


@pytest.mark.parametrize(
    ("sent", "announced"), [(168, 176), (167, 168), (168, 160), (160, 160), (0, 168), (168, 2**62)]
)
def test_lying_sizes_are_told(client: httpx.Client, sent: int, announced: int) -> None:
    head = _binary(np.ones((1, COLUMNS)), announced)
    response = client.post(INFER, content=head + bytes(sent), headers={LENGTH: str(len(head))})
    (error,) = _problem(response, 422)["errors"]
    assert error["path"] == "inputs.0.parameters.binary_data_size"


@pytest.mark.parametrize("length", ["", "0", "-1", "1e3", "999999", "9" * 5000, "5, 5", "²"])
def test_a_wrong_length_of_the_json_is_told(client: httpx.Client, length: str) -> None:
    headers = {LENGTH: length.encode("latin-1")}
    document = _problem(client.post(INFER, content=_binary(np.ones((1, COLUMNS))) + bytes(168), headers=headers), 422)
    assert [error["path"] for error in document["errors"]] == [LENGTH.lower()]


def test_a_json_that_is_cut_is_told(client: httpx.Client) -> None:
    head = _binary(np.ones((1, COLUMNS)))
    response = client.post(INFER, content=head + bytes(168), headers={LENGTH: str(len(head) - 1)})
    assert [error["path"] for error in _problem(response, 422)["errors"]] == ["body"]


@pytest.mark.parametrize(
    "path", ["/v2/models/other", "/v2/models/other/ready", f"{MODEL}/versions/8", f"{MODEL}/versions/8/ready"]
)
def test_other_models_are_not_found(client: httpx.Client, path: str) -> None:
    _problem(client.get(path), 404)


@pytest.mark.parametrize(
    "path", ["/v2/models/other/infer", f"{MODEL}/versions/8/infer", f"/v2/models/{'%00' * 1000}/infer"]
)
def test_nothing_is_inferred_by_other_models(client: httpx.Client, path: str) -> None:
    document = _problem(client.post(path, json=_request()), 404)
    assert len(document["error"]) < 200


@pytest.mark.parametrize(
    "path",
    [
        "/v2/",
        "/v2/models",
        "/v2/repository/index",
        f"{MODEL}/config",
        f"{MODEL}/stats",
        f"{MODEL}/versions//infer",
        f"{INFER}/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_addresses_are_not_found(client: httpx.Client, path: str, method: str) -> None:
    assert "docs/serving.md" in _problem(client.request(method, path), 404)["error"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", INFER, "POST"), ("POST", MODEL, "GET, HEAD"), ("DELETE", "/v2", "GET, HEAD")],
)
def test_other_methods_are_refused(client: httpx.Client, method: str, path: str, allowed: str) -> None:
    response = client.request(method, path)
    _problem(response, 405)
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/octet-stream", "content-encoding": "gzip"},
        {"content-type": "application/json", "content-encoding": "deflate"},
    ],
)
def test_other_contents_are_refused(client: httpx.Client, headers: dict[str, str]) -> None:
    _problem(client.post(INFER, content=b"{}", headers=headers), 415)


def test_a_deadline_must_be_one(client: httpx.Client) -> None:
    document = _problem(client.post(INFER, json=_request(), headers={"x-fraud-deadline-ms": "soon"}), 422)
    assert document["errors"][0]["path"] == "x-fraud-deadline-ms"


def test_a_long_body_is_refused(client: httpx.Client) -> None:
    _problem(client.post(INFER, content=bytes(17 * 1024 * 1024), headers={"content-type": "application/json"}), 413)


def test_calls_are_counted_under_few_names(client: httpx.Client) -> None:
    client.post(INFER, json=_request())
    client.get(f"/v2/{'x' * 50}")
    eventually(lambda: 'method="infer"' in client.get("/metrics").text)
    assert "xxx" not in client.get("/metrics").text
