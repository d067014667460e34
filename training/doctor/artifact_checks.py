"""Checks of an exported artifact against its data and against the model it came from."""

from __future__ import annotations

from typing import Final

import numpy as np

from bentos.core.artifact import population_stability_index
from bentos.core.features import FEATURE_NAMES
from training.doctor.check import Check, Outcome, Patient, fail, ok, warn
from training.evaluate.artifact_scorer import ArtifactScorer

__all__ = ["ARTIFACT_CHECKS"]

#: As far as ONNX and the trained pipeline may differ; the export holds itself to the same.
_SCORE_TOLERANCE: Final = 1e-5
_SAMPLE: Final = 5_000
#: Siddiqi (2006) calls 0.25 a shift. Other scales and units give values of several.
_SHIFTED: Final = 0.25
_OTHER_SCALE: Final = 2.0


def _sample(patient: Patient) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    chosen = np.random.default_rng(0).permutation(patient.test)[:_SAMPLE]
    sample: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = patient.rows[np.sort(chosen)]
    return sample


def training_scale(patient: Patient) -> Outcome | None:
    """Stability index of each feature: training rows of the artifact against test rows of the table."""
    if patient.artifact is None or not patient.complete or len(patient.test) < 200:
        return None
    values = patient.rows[patient.test]  # float32 like the rows that the bins were made of
    if not np.isfinite(values).all():
        return None
    known = patient.artifact.distributions.features
    index = {
        name: population_stability_index(np.asarray(known[name].counts), known[name].count(values[:, place]))
        for place, name in enumerate(FEATURE_NAMES)
    }
    shifted = sorted((name for name in index if index[name] > _SHIFTED), key=lambda name: -index[name])
    if not shifted:
        most = max(index, key=lambda name: index[name])
        return ok(f"largest stability index {index[most]:.3f} ({most})")
    text = ", ".join(f"{name} {index[name]:.2f}" for name in shifted)
    return fail(text) if index[shifted[0]] > _OTHER_SCALE else warn(text)


def score_drift(patient: Patient) -> Outcome | None:
    if patient.artifact is None or not patient.complete or len(patient.test) < 200:
        return None
    scores = ArtifactScorer(patient.artifact).score(patient.rows[patient.test])
    if not np.isfinite(scores).all():
        return None
    known = patient.artifact.distributions.score
    index = population_stability_index(np.asarray(known.counts), known.count(scores))
    text = f"stability index of the score {index:.3f}"
    return warn(text) if index > _SHIFTED else ok(text)


def parity(patient: Patient) -> Outcome | None:
    if patient.artifact is None or patient.model is None or not patient.complete:
        return None
    rows = _sample(patient)
    trained = np.asarray(patient.model.score(rows), dtype=np.float64)
    exported = ArtifactScorer(patient.artifact).score(rows)
    difference = np.abs(trained - exported)
    worst = int(np.argmax(difference))
    text = (
        f"scores of {len(rows):,} rows differ by at most {difference[worst]:.1e}"
        f" (trained {trained[worst]:.6f}, exported {exported[worst]:.6f})"
    )
    return ok(text) if difference[worst] <= _SCORE_TOLERANCE else fail(text)


def alerts(patient: Patient) -> Outcome | None:
    """Share of the test rows that the artifact's thresholds would flag."""
    if patient.artifact is None or not patient.complete:
        return None
    scores = ArtifactScorer(patient.artifact).score(patient.rows[patient.test])
    chosen = patient.artifact.thresholds
    flagged, blocked = float((scores >= chosen.review).mean()), float((scores >= chosen.block).mean())
    text = f"review from {chosen.review:.3f} on flags {flagged:.2%}, block from {chosen.block:.3f} on {blocked:.2%}"
    return warn(text) if flagged == 0 or flagged > 0.2 else ok(text)


ARTIFACT_CHECKS: Final = (
    Check(
        "distributions of training",
        "Rows look unlike those the model was trained on: another scale or unit, or the world has changed.",
        "Over 2: compare how both tables were made. Less: train on newer data.",
        training_scale,
    ),
    Check(
        "distribution of scores",
        "The model scores these rows unlike its training rows.",
        "Look at the features that shifted; train on newer data.",
        score_drift,
    ),
    Check(
        "parity",
        "What is served is not what was trained and evaluated.",
        "Export again; the export refuses differences, so the artifact belongs to another model.",
        parity,
    ),
    Check(
        "thresholds",
        "The thresholds flag nothing, or more than anybody could review.",
        "Choose thresholds on recent held-out rows: `python -m training evaluate`.",
        alerts,
    ),
)
