"""Calibration: from a raw score to the probability of fraud.

Resampling and class weights shift and stretch what a model says of its training rows, and a forest is surest about
rows it has seen. Two parameters on the logit put that right (Platt, "Probabilistic outputs for support vector
machines", 1999), fitted on raw scores that each row got from a model which had not seen it. The map is strictly
increasing, so no ranking metric changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import DataError

__all__ = ["Calibration", "fit_calibration", "identity_calibration"]

Floats = NDArray[np.float64]

_STEPS: Final = 100
_HALVINGS: Final = 60


@dataclass(frozen=True)
class Calibration:
    """score = sigmoid(slope · z + intercept), float64.

    Parameters
    ----------
    input
        What a raw score is. "logit": z is the raw score. "probability": z = logit(shrink + (1 − 2 · shrink) · raw),
        which keeps a forest's 0 and 1 finite.
    slope
        Above 0.
    intercept
        In logits.
    shrink
        How far a raw probability is kept from 0 and 1.
    """

    input: Literal["probability", "logit"]
    slope: float
    intercept: float
    shrink: float = 1e-4

    def __post_init__(self) -> None:
        if not (np.isfinite(self.slope) and self.slope > 0 and np.isfinite(self.intercept)):
            raise DataError(
                f"a calibration with slope {self.slope} and intercept {self.intercept} is none; the slope must"
                " be above 0, both finite"
            )

    def logits(self, raw: NDArray[Any]) -> Floats:
        """Raw scores [n] as uncalibrated logits, float64 [n]."""
        values = np.asarray(raw, dtype=np.float64)
        if self.input == "logit":
            return values
        inner = self.shrink + (1.0 - 2.0 * self.shrink) * values
        result: Floats = np.log(inner) - np.log1p(-inner)
        return result

    def __call__(self, raw: NDArray[Any]) -> Floats:
        """Calibrated probabilities of raw scores [n], float64 [n]."""
        return _sigmoid(self.slope * self.logits(raw) + self.intercept)


def identity_calibration(kind: Literal["probability", "logit"]) -> Calibration:
    """Raw scores as they are, apart from the shrinking of probabilities."""
    return Calibration(kind, 1.0, 0.0)


def fit_calibration(kind: Literal["probability", "logit"], raw: Floats, labels: NDArray[Any]) -> Calibration:
    """Slope and intercept of greatest likelihood.

    Parameters
    ----------
    raw
        [n] out-of-fold raw scores.
    labels
        [n], 1 or True for fraud. Targets are Platt's, (frauds + 1) / (frauds + 2) and 1 / (others + 2), which keep the
        slope finite when the scores separate the classes.

    Raises
    ------
    DataError
        When rows with higher scores are no likelier to be fraud: such a model must not be served.
    """
    start = identity_calibration(kind)
    z = start.logits(raw)
    fraud = np.asarray(labels).astype(bool)
    positives, negatives = int(fraud.sum()), int((~fraud).sum())
    targets = np.where(fraud, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, intercept = _maximise(z, targets, positives / max(1, len(fraud)))
    if not slope > 0:
        raise DataError(
            f"the model ranks rows it has not seen no better than chance (slope {slope:.3g} of its calibration over"
            f" {len(fraud)} rows, {positives} frauds); check labels and features, or train on more rows"
        )
    return Calibration(kind, float(slope), float(intercept))


def _maximise(z: Floats, targets: Floats, share: float) -> tuple[float, float]:
    """Slope and intercept, by Newton's method on the concave log likelihood; a step that overshoots is halved."""
    centre, spread = float(z.mean()), float(z.std())
    if not spread > 1e-12 * (1 + abs(centre)):
        return 0.0, 0.0
    inputs = np.column_stack([(z - centre) / spread, np.ones_like(z)])
    beta = np.array([0.0, np.log(max(share, 1e-9)) - np.log1p(-min(share, 1 - 1e-9))])
    best = _loss(inputs @ beta, targets)
    for _ in range(_STEPS):
        chance = _sigmoid(inputs @ beta)
        gradient = inputs.T @ (chance - targets)
        weight = np.maximum(chance * (1 - chance), 1e-12)
        step = np.linalg.solve((inputs * weight[:, None]).T @ inputs, gradient)
        for _ in range(_HALVINGS):
            loss = _loss(inputs @ (beta - step), targets)
            if loss < best:
                break
            step = step / 2
        else:
            break
        beta, improved, best = beta - step, best - loss, loss
        if improved <= 1e-13 * best:
            break
    slope = float(beta[0]) / spread
    return slope, float(beta[1]) - slope * centre


def _loss(logits: Floats, targets: Floats) -> float:
    return float(np.sum(np.logaddexp(0.0, logits) - targets * logits))


def _sigmoid(logits: Floats) -> Floats:
    result: Floats = np.where(
        logits >= 0, 1.0 / (1.0 + np.exp(-np.abs(logits))), np.exp(-np.abs(logits)) / (1.0 + np.exp(-np.abs(logits)))
    )
    return result
