"""What the peers serve, and what they answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import joblib
import onnxruntime as ort

__all__ = ["FOLDER_VARIABLE", "decide", "load_forest", "load_session"]

#: Names the folder of the models to a peer's workers.
FOLDER_VARIABLE: Final = "LOAD_MODELS"
_REVIEW: Final = 0.3
_BLOCK: Final = 0.8


def load_forest() -> Any:
    """The fitted forest."""
    return joblib.load(_folder() / "forest.joblib")


def load_session() -> ort.InferenceSession:
    """The same as ONNX, one thread a worker, as there is a worker for each core."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(_folder() / "artifact" / "model.onnx", options)


def decide(score: float) -> str:
    """What to do with a transaction."""
    if score >= _BLOCK:
        return "block"
    return "review" if score >= _REVIEW else "approve"


def _folder() -> Path:
    return Path(os.environ[FOLDER_VARIABLE])
