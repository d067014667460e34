"""Score with an exported artifact: the same ONNX that is served."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime

from bentos.core.artifact import Artifact
from training.evaluate.metrics import FloatArray

__all__ = ["ArtifactScorer"]


class ArtifactScorer:
    """An artifact as a :class:`training.evaluate.report.Scorer`.

    Parameters
    ----------
    artifact
        Read and verified.
    batch
        Rows of one call; bounds the memory of large tables.
    """

    def __init__(self, artifact: Artifact, batch: int = 50_000) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(artifact.onnx, options, providers=["CPUExecutionProvider"])
        self._batch = batch

    def _run(self, output: str, rows: npt.NDArray[np.float32]) -> FloatArray:
        parts = [
            np.asarray(self._session.run([output], {"features": rows[start : start + self._batch]})[0])
            for start in range(0, len(rows), self._batch)
        ]
        return np.concatenate(parts).astype(np.float64).ravel() if parts else np.empty(0)

    def score(self, rows: npt.NDArray[np.float32]) -> FloatArray:
        """Calibrated probability of fraud, float64 [n]."""
        return self._run("score", np.ascontiguousarray(rows, dtype=np.float32))

    def raw_score(self, rows: npt.NDArray[np.float32]) -> FloatArray:
        """What contributions add up to, float64 [n]."""
        return self._run("raw_score", np.ascontiguousarray(rows, dtype=np.float32))
