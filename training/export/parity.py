"""Proof that an export is the trained model: same scores, same contributions, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bentos.core.errors import ParityError
from bentos.core.explain import Explainer
from bentos.core.features import FEATURE_NAMES
from training.export.graph import INPUT, RAW_SCORE, SCORE

__all__ = ["CONTRIBUTION_TOLERANCE", "SCORE_TOLERANCE", "Parity", "check_contributions", "check_scores", "run_onnx"]

SCORE_TOLERANCE: Final = 1e-5
CONTRIBUTION_TOLERANCE: Final = 1e-6
#: A row alone and the same row among others; far above float64 rounding, far below the other tolerances.
_BATCH_TOLERANCE: Final = 1e-9
_SINGLE_ROWS: Final = 32

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Parity:
    """Largest differences between the trained model and its export, and over how many rows."""

    rows: int
    raw_score: float
    score: float
    contribution: float
    additivity: float


def run_onnx(content: bytes, rows: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Raw scores and scores of an exported model, float64 [n] each; asserts that single rows get the same.

    Raises
    ------
    ParityError
        A row's score depends on the rows beside it, or the outputs are not float64 [n].
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    raw, score = session.run([RAW_SCORE, SCORE], {INPUT: rows})
    for name, values in ((RAW_SCORE, raw), (SCORE, score)):
        if values.shape != (len(rows),) or values.dtype != np.float64:
            raise ParityError(
                f"{name} came as {values.dtype} {values.shape} for {len(rows)} rows, needed is float64 [n]"
            )
    count = min(_SINGLE_ROWS, len(rows))
    alone = [session.run([RAW_SCORE, SCORE], {INPUT: rows[i : i + 1]}) for i in range(count)]
    for index, (name, values) in enumerate(((RAW_SCORE, raw), (SCORE, score))):
        singles = np.array([outputs[index][0] for outputs in alone])
        _largest(f"{name} of rows scored alone and together", singles, values[:count], _BATCH_TOLERANCE, rows)
    return raw, score


def check_scores(model: Any, raw: Floats, score: Floats, rows: NDArray[np.float32]) -> tuple[float, float]:
    """Compare exported scores with a TrainedModel's; returns the largest differences, raw score first.

    A logit above 1 may differ in proportion: the trained network computes it in float32.

    Raises
    ------
    ParityError
        One of them is above 1e-5.
    """
    trained = model.raw_score(rows)
    size = np.maximum(1.0, np.abs(trained))
    return (
        _largest("raw_score, exported and trained", raw / size, trained / size, SCORE_TOLERANCE, rows),
        _largest("score, exported and trained", score, model.score(rows), SCORE_TOLERANCE, rows),
    )


def check_contributions(
    explainer: Explainer, reference: Floats, raw: Floats, rows: NDArray[np.float32], referenced: NDArray[np.int64]
) -> tuple[float, float]:
    """Compare contributions with shap's and their sums with the raw scores; returns the largest differences.

    Parameters
    ----------
    reference
        shap's values of ``rows[referenced]``.

    Raises
    ------
    ParityError
        One of them is above 1e-6.
    """
    values = explainer.contributions(rows)
    return (
        _largest(
            "contributions, exported and shap's",
            values[referenced],
            reference,
            CONTRIBUTION_TOLERANCE,
            rows[referenced],
        ),
        _largest(
            "base value plus contributions, and raw_score",
            explainer.base_value + values.sum(axis=1),
            raw,
            CONTRIBUTION_TOLERANCE,
            rows,
        ),
    )


def _largest(what: str, ours: Floats, theirs: Any, tolerance: float, rows: NDArray[np.float32]) -> float:
    expected = np.asarray(theirs, dtype=np.float64)
    if ours.shape != expected.shape:
        raise ParityError(f"{what}: {ours.shape} values against {expected.shape}")
    difference = np.abs(ours - expected)
    # A NaN is a difference too.
    difference = np.where(np.isnan(difference), np.inf, difference)
    if not difference.size:
        return 0.0
    place = np.unravel_index(int(difference.argmax()), difference.shape)
    largest = float(difference[place])
    if largest > tolerance:
        row = dict(zip(FEATURE_NAMES, rows[place[0]].tolist(), strict=True))
        raise ParityError(
            f"{what} differ by up to {largest:.3g}, allowed is {tolerance:g}: {float(ours[place]):.9g} against"
            f" {float(expected[place]):.9g} for the row {row}. Nothing was written; the model cannot be served as it is"
        )
    return largest
