"""The model as MLflow keeps it: the exported ONNX with a signature, and the trained pipeline for the record.

What is registered is the ONNX flavour. It gives the scores that are served, loads without sklearn or torch, and
holds no pickle; MLflow's sklearn flavour could hold neither the calibration nor, without pickle, a torch network.
The trained model goes beside it as a run artifact, joblib with its SHA-256 in the version's tags, and is read back
only by :func:`load_trained`, on purpose.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from pathlib import Path
from typing import Any, Final

import joblib

from bentos.core.errors import RegistryError
from bentos.core.features import FEATURE_NAMES, FEATURE_SCHEMA
from training.registry.lineage import package_versions

__all__ = ["TRAINED_FILE", "load_trained", "save_mlflow_model", "save_trained"]

TRAINED_FILE: Final = "trained_model.joblib"


def save_mlflow_model(onnx_bytes: bytes, folder: Path, metadata: dict[str, Any]) -> None:
    """Write an MLflow model folder around the ONNX of an artifact.

    Its signature has the 21 features by name as doubles, in order, and raw_score and score as outputs.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of its own type hints while it is imported
        import mlflow.onnx
        import mlflow.pyfunc.model
        import onnx
        from mlflow.models import ModelSignature
        from mlflow.types.schema import ColSpec, Schema

    model = onnx.load_model_from_string(onnx_bytes)
    types = {onnx.TensorProto.FLOAT: "float", onnx.TensorProto.DOUBLE: "double"}
    outputs = [ColSpec(types[item.type.tensor_type.elem_type], item.name) for item in model.graph.output]
    versions = package_versions()
    mlflow.onnx.save_model(
        model,
        str(folder),
        signature=ModelSignature(
            inputs=Schema([ColSpec("double", name) for name in FEATURE_NAMES]), outputs=Schema(outputs)
        ),
        pip_requirements=[f"{name}=={versions[name]}" for name in ("numpy", "onnx", "onnxruntime")],
        onnx_execution_providers=["CPUExecutionProvider"],
        onnx_session_options={"intra_op_num_threads": 1},
        metadata={"feature_schema": FEATURE_SCHEMA, **metadata},
        save_as_external_data=False,
    )


def save_trained(model: Any, folder: Path) -> str:
    """Write the trained model with joblib; returns the SHA-256 of the file."""
    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=3)
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    (folder / TRAINED_FILE).write_bytes(data)
    (folder / "README.json").write_text(
        json.dumps(
            {
                "what": "the trained pipeline with its calibration, for study; serving never reads it",
                "format": "joblib, that is pickle: load it only when its digest is the one in the version's tags",
                "sha256": digest,
                "packages": package_versions(),
            },
            indent=2,
        ),
        encoding="utf-8",
    )
    return digest


def load_trained(path: Path, sha256: str) -> Any:
    """Read a trained model whose digest is known.

    Raises
    ------
    RegistryError
        When the bytes are not those that were logged.
    """
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise RegistryError(
            f"{path} has the SHA-256 {found}, {sha256} was logged: it was changed and is not loaded; train again"
        )
    return joblib.load(io.BytesIO(data))
