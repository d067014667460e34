"""tritonclient, over HTTP and gRPC, against a running server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.core.features import FEATURE_NAMES
from bentos.fraud.scorer import FloatArray, Scorer
from tests.fraud.server import Server

SCRIPT = Path(__file__).with_name("triton_calls.py")
#: Statuses by transport.
NOT_FOUND = {"http": "404", "grpc": "StatusCode.NOT_FOUND"}
INVALID = {"http": "422", "grpc": "StatusCode.INVALID_ARGUMENT"}
#: Where the transports keep binary data.
BINARY_PATH = {"http": "inputs.0.parameters.binary_data_size", "grpc": "raw_input_contents.0"}


@pytest.fixture(scope="module", params=["http", "grpc"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def results(
    transport: str,
    server: Server,
    grpc_address: str,
    rows: FloatArray,
    scorer: Scorer,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """Results of all calls of triton_calls.py."""
    file = tmp_path_factory.mktemp("triton") / "rows.npy"
    np.save(file, rows)
    address = {"http": server.url.removeprefix("http://"), "grpc": grpc_address}[transport]
    command = [sys.executable, str(SCRIPT), transport, address, str(file), scorer.model.name, scorer.model.version]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _same_as_scorer(result: dict[str, Any], scorer: Scorer, rows: FloatArray) -> None:
    raw, score = scorer.score(rows)
    np.testing.assert_array_equal(result["outputs"]["raw_score"], raw)
    np.testing.assert_array_equal(result["outputs"]["score"], score)
    assert result["dtypes"] == ["float64"]
    assert result["model"] == [scorer.model.name, scorer.model.version]


def test_server_and_model_are_ready(results: dict[str, Any]) -> None:
    assert results["live"] is results["ready"] is results["model_ready"] is True


def test_the_server_names_itself(results: dict[str, Any], transport: str) -> None:
    extensions = {"http": {"extensions": ["binary_tensor_data"]}, "grpc": {}}[transport]
    assert results["server_metadata"] == {"name": "fraud_detector", "version": "0.1.0", **extensions}


def test_the_model_names_its_tensors(results: dict[str, Any], transport: str, scorer: Scorer) -> None:
    metadata = results["model_metadata"]
    assert results["version_metadata"] == metadata
    assert (metadata["name"], metadata["versions"]) == (scorer.model.name, [scorer.model.version])
    # protobuf's JSON has 64-bit numbers as text.
    size = int if transport == "http" else str
    any_size = [size(-1)]
    assert metadata["inputs"] == [
        {"name": "features", "datatype": "FP32", "shape": [size(-1), size(len(FEATURE_NAMES))]}
    ]
    assert metadata["outputs"] == [
        {"name": "score", "datatype": "FP64", "shape": any_size},
        {"name": "raw_score", "datatype": "FP64", "shape": any_size},
    ]


@pytest.mark.parametrize("call", ["fp32", "fp64", "versioned", "hints"])
def test_scores_are_the_scorers(results: dict[str, Any], call: str, scorer: Scorer, rows: FloatArray) -> None:
    _same_as_scorer(results[call], scorer, rows)
    assert list(results[call]["outputs"]) == ["score", "raw_score"]


def test_one_row_is_scored(results: dict[str, Any], scorer: Scorer, rows: FloatArray) -> None:
    _same_as_scorer(results["one_row"], scorer, rows[:1])


def test_ten_thousand_rows_are_scored(results: dict[str, Any], scorer: Scorer, rows: FloatArray) -> None:
    _same_as_scorer(results["most_rows"], scorer, np.tile(rows, (50, 1)))


def test_the_id_comes_back(results: dict[str, Any]) -> None:
    assert (results["fp32"]["id"], results["versioned"]["id"]) == ("", "request-7")


def test_only_what_is_asked_for_comes_back(results: dict[str, Any], scorer: Scorer, rows: FloatArray) -> None:
    outputs = results["one_output"]["outputs"]
    assert list(outputs) == ["raw_score"]
    np.testing.assert_array_equal(outputs["raw_score"], scorer.score(rows)[0])


@pytest.mark.parametrize("call", ["unknown_model", "unknown_metadata"])
def test_another_model_is_not_found(results: dict[str, Any], transport: str, call: str, scorer: Scorer) -> None:
    error = f"there is no model 'other' here, only {scorer.model.name!r}"
    assert results[call] == {"status": NOT_FOUND[transport], "error": error}


def test_another_version_is_not_found(results: dict[str, Any], transport: str, scorer: Scorer) -> None:
    error = f"there is no version '999' of {scorer.model.name!r} here, only {scorer.model.version!r}"
    assert results["unknown_version"] == {"status": NOT_FOUND[transport], "error": error}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("unknown_output", "outputs.0.name: must be 'score' or 'raw_score', got 'label'"),
        ("classification", "outputs.0.parameters.classification: is not offered; the outputs are no classes"),
        ("wrong_shape", "inputs.0.shape: must be [n, 21] with n from 1 to 10000, got [200, 20]"),
        ("flat_shape", "inputs.0.shape: must be [n, 21] with n from 1 to 10000, got [21]"),
        ("no_rows", "inputs.0.shape: must be [n, 21] with n from 1 to 10000, got [0, 21]"),
        ("too_many_rows", "inputs.0.shape: must be [n, 21] with n from 1 to 10000, got [10001, 21]"),
        ("wrong_datatype", "inputs.0.datatype: must be FP32 or FP64, got 'INT64'"),
    ],
)
def test_wrong_calls_are_told_what_is_wrong(results: dict[str, Any], transport: str, call: str, error: str) -> None:
    assert results[call] == {"status": INVALID[transport], "error": error}


def test_what_is_no_number_is_told(results: dict[str, Any], transport: str) -> None:
    error = f"{BINARY_PATH[transport]}: amount of row 0 is nan, must be a finite number of FP32's range"
    assert results["nan"] == {"status": INVALID[transport], "error": error}


def test_shared_memory_is_refused(results: dict[str, Any], transport: str) -> None:
    error = "inputs.0.parameters.shared_memory_region: is not offered; send and take tensors in the message"
    assert results["shared_memory"] == {"status": INVALID[transport], "error": error}


def test_calls_of_triton_alone_are_refused(results: dict[str, Any], transport: str) -> None:
    status = {"http": "404", "grpc": "StatusCode.UNIMPLEMENTED"}[transport]
    assert results["repository"]["status"] == status
    assert results["repository"]["error"]


@pytest.mark.parametrize("transport", ["http"], indirect=True)
def test_json_gives_the_same_scores(results: dict[str, Any], scorer: Scorer, rows: FloatArray) -> None:
    _same_as_scorer(results["json"], scorer, rows)


@pytest.mark.parametrize("transport", ["http"], indirect=True)
def test_json_with_nan_is_refused(results: dict[str, Any]) -> None:
    assert results["json_nan"] == {"status": "422", "error": "inputs.0.data.0: Input should be a finite number"}


@pytest.mark.parametrize("transport", ["http"], indirect=True)
def test_compressed_requests_are_refused(results: dict[str, Any]) -> None:
    assert results["compressed"]["status"] == "415"
    assert "Compressed bodies are not read" in results["compressed"]["error"]
