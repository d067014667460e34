"""The model repository for Triton, read by Triton's own schema."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from bentos.core.artifact import read_artifact, write_artifact
from bentos.core.errors import ConfigError
from bentos.fraud.__main__ import main
from bentos.fraud.remote.triton import version_number, write_repository
from bentos.fraud.scorer import Scorer
from tests.fraud.artifacts import CARD, forest_contents, training_rows

READ = Path(__file__).with_name("model_config.py")


@pytest.fixture
def write(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command for the champion."""
    monkeypatch.setenv("FRAUD_HOME", str(home))
    return lambda *arguments: main(["model", "triton", *map(str, arguments)])


def _read(file: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, READ, file], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_configuration_is_what_triton_reads(write: Callable[..., int], tmp_path: Path, home: Path) -> None:
    out = tmp_path / "models"
    assert write(out, "--max-batch-size", 256, "--queue-delay-microseconds", 100) == 0
    config = _read(out / "fraud_detector" / "config.pbtxt")
    parameters = {name: found["string_value"] for name, found in config.pop("parameters").items()}
    digest = read_artifact(home / "champion" / "artifact", public_key=None).digest
    assert parameters == {"intra_op_thread_count": "1", "artifact_digest_7": digest}
    # protobuf's JSON has 64-bit numbers as text.
    one_number = {"data_type": "TYPE_FP64", "dims": ["1"], "reshape": {}}
    assert config == {
        "name": "fraud_detector",
        "backend": "onnxruntime",
        "default_model_filename": "model.onnx",
        "max_batch_size": 256,
        "input": [{"name": "features", "data_type": "TYPE_FP32", "dims": ["21"]}],
        "output": [{"name": "raw_score", **one_number}, {"name": "score", **one_number}],
        "version_policy": {"all": {}},
        "dynamic_batching": {"max_queue_delay_microseconds": "100"},
        "instance_group": [{"kind": "KIND_CPU", "count": 1}],
    }


def test_the_model_beside_it_gives_the_scores(write: Callable[..., int], tmp_path: Path, home: Path) -> None:
    assert write(tmp_path / "models") == 0
    session = ort.InferenceSession(tmp_path / "models" / "fraud_detector" / "7" / "model.onnx")
    rows = training_rows()[0][:50]
    found = session.run(["raw_score", "score"], {"features": rows})
    scorer = Scorer(read_artifact(home / "champion" / "artifact", public_key=None))
    np.testing.assert_array_equal(found, scorer.score(rows.astype(np.float64)))


def test_it_is_written_again_without_complaint(
    write: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(tmp_path) == write(tmp_path) == 0
    assert f"tritonserver --model-repository={tmp_path}" in capsys.readouterr().out


def test_another_model_of_the_same_version_is_not_overwritten(
    write: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "fraud_detector" / "7" / "model.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"another")
    assert write(tmp_path) == 2
    assert "is another model of the same version" in capsys.readouterr().err
    assert file.read_bytes() == b"another"


def test_batches_that_triton_would_refuse_are_refused(
    write: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(tmp_path / "models", "--max-batch-size", 63) == 2
    assert (
        "--max-batch-size is 63, the service sends up to FRAUD_BATCH_SIZE rows, which is 64" in capsys.readouterr().err
    )
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(("version", "number"), [("7", 7), ("1.2", 1), ("v3", 1), ("0", 1), ("007", 1)])
def test_versions_that_are_no_numbers_are_the_first(version: str, number: int) -> None:
    assert version_number(version) == number


def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path) -> None:
    card = CARD.model_copy(update={"name": "team/../fraud"})
    write_artifact(tmp_path / "artifact", forest_contents(trees=2, depth=2, card=card), private_key=None)
    artifact = read_artifact(tmp_path / "artifact", public_key=None)
    with pytest.raises(ConfigError, match="cannot name a folder"):
        write_repository(artifact, tmp_path / "models", max_batch_size=64, queue_delay_microseconds=0)
    assert not (tmp_path / "models").exists()
