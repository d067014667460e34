"""Checks of a model's scores."""

from __future__ import annotations

from typing import Final

import numpy as np
from sklearn.metrics import roc_auc_score

from bentos.core.features import FEATURE_NAMES
from training.doctor.check import Check, Outcome, Patient, fail, ok, warn
from training.evaluate.overfitting import check_overfitting

__all__ = ["MODEL_CHECKS"]

_SAMPLE: Final = 2_000


def model_features(patient: Patient) -> Outcome | None:
    """What the fitted steps say about the columns they saw."""
    if patient.model is None:
        return None
    steps = [step for _, step in getattr(patient.model.pipeline, "steps", [("", patient.model.pipeline)])]
    for step in steps:
        names = getattr(step, "feature_names_in_", None)
        if names is not None and list(names) != list(FEATURE_NAMES):
            return fail(
                f"{type(step).__name__} was fitted on other columns or another order: {', '.join(map(str, names))}"
            )
        width = getattr(step, "n_features_in_", None)
        if step is steps[0] and width is not None and width != len(FEATURE_NAMES):
            return fail(f"{type(step).__name__} was fitted on {width} columns, rows have {len(FEATURE_NAMES)}")
    return ok(f"fitted on {len(FEATURE_NAMES)} columns")


def score_shape(patient: Patient) -> Outcome | None:
    scores = patient.test_scores
    if scores is None:
        return None
    if scores.shape != (len(patient.test),):
        return fail(f"{len(patient.test):,} rows gave scores of shape {scores.shape}")
    one = patient.scorer.score(patient.rows[patient.test[:1]]) if patient.scorer is not None else scores[:1]
    if not np.allclose(one, scores[:1], atol=1e-6, equal_nan=True):
        return fail(f"the first row scores {scores[0]:.6f} among the others and {float(one[0]):.6f} alone")
    return ok(f"{len(scores):,} rows gave as many scores, and a row alone scores the same")


def probabilities(patient: Patient) -> Outcome | None:
    scores = patient.test_scores
    if scores is None:
        return None
    wrong = ~np.isfinite(scores) | (scores < 0) | (scores > 1)
    if wrong.any():
        return fail(f"{int(wrong.sum()):,} scores are not in 0–1, such as {scores[wrong][0]:.4g}")
    if patient.model is None:
        return ok(f"scores lie from {scores.min():.4f} to {scores.max():.4f}")
    both = np.asarray(patient.model.pipeline.predict_proba(patient.rows[patient.test[:_SAMPLE]]), dtype=np.float64)
    if both.ndim != 2 or both.shape[1] != 2:
        return fail(f"predict_proba has the shape {both.shape}, two columns are needed")
    off = float(np.abs(both.sum(axis=1) - 1).max())
    text = f"scores lie from {scores.min():.4f} to {scores.max():.4f}, rows of predict_proba sum to 1 within {off:.1e}"
    return fail(text) if not off <= 1e-4 else ok(text)


def constant_scores(patient: Patient) -> Outcome | None:
    scores = patient.test_scores
    if scores is None or len(scores) < 2:
        return None
    values, counts = np.unique(np.round(scores, 9), return_counts=True)
    share = counts.max() / len(scores)
    text = f"{len(values):,} different scores, the most frequent one for {share:.1%} of the rows"
    if len(values) == 1 or float(np.nanstd(scores)) < 1e-6:
        return fail(f"every row scores {scores[0]:.6f}")
    return warn(text) if len(values) < 10 or share > 0.98 else ok(text)


def class_index(patient: Patient) -> Outcome | None:
    scores = patient.test_scores
    labels = patient.labels[patient.test]
    if scores is None or not labels.any() or labels.all() or not np.isfinite(scores).all():
        return None
    if patient.model is not None:
        known = getattr(patient.model.pipeline, "classes_", None)
        if known is not None and [int(value) for value in known] != [0, 1]:
            return fail(f"the pipeline's classes are {list(known)}, [0, 1] with 1 for fraud is needed")
    area = float(roc_auc_score(labels, scores))
    if area < 0.4:
        return fail(f"the AUC on test rows is {area:.3f}, {1 - area:.3f} when turned around")
    return warn(f"the AUC on test rows is {area:.3f}") if area < 0.6 else ok(f"the AUC on test rows is {area:.3f}")


def learnt_by_heart(patient: Patient) -> Outcome | None:
    train, test = patient.train_scores, patient.test_scores
    left, right = patient.labels[patient.train], patient.labels[patient.test]
    if train is None or test is None or not (0 < left.sum() < len(left) and 0 < right.sum() < len(right)):
        return None
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        return None
    found = check_overfitting(
        {"roc_auc": float(roc_auc_score(left, train))}, {"roc_auc": float(roc_auc_score(right, test))}
    )
    return {"ok": ok, "warn": warn, "fail": fail}[found.status if found.status != "unknown" else "ok"](found.message)


def promised_share(patient: Patient) -> Outcome | None:
    """Mean score against the share of fraud: 1 when calibrated."""
    scores = patient.test_scores
    labels = patient.labels[patient.test]
    if scores is None or not labels.any() or not np.isfinite(scores).all():
        return None
    share, mean = float(labels.mean()), float(scores.mean())
    ratio = max(mean, 1e-9) / share
    text = f"the mean score is {mean:.2%}, {share:.2%} of the test rows are fraud"
    if not 1 / 5 < ratio < 5:
        return fail(text)
    return warn(text) if not 1 / 2 < ratio < 2 else ok(text)


MODEL_CHECKS: Final = (
    Check(
        "columns of the model",
        "The model reads another column in some feature's place.",
        "Train on the table's features in their order; the pipeline takes arrays of 21 columns.",
        model_features,
    ),
    Check(
        "shape of scores",
        "The model does not give one score per row, or a row's score depends on its neighbours.",
        "Look for a reshape, a missing column index, or a batch norm that is still training.",
        score_shape,
    ),
    Check(
        "probabilities",
        "Scores are not probabilities: logits without softmax, or a calibration outside its range.",
        "forward returns logits, predict_proba applies softmax; check the calibration.",
        probabilities,
    ),
    Check(
        "constant scores",
        "The model says nearly the same of every row: nothing was learnt, or its input is cut off.",
        "Check scaling, learning rate and class weights; look for dead units and for clipped input.",
        constant_scores,
    ),
    Check(
        "class index",
        "Scores are the probability of the wrong class, or labels are turned around, or nothing was learnt.",
        "Use column 1 of predict_proba, and True for fraud.",
        class_index,
    ),
    Check(
        "train against test",
        "The model knows its training rows by heart.",
        "Less depth, larger leaves, more dropout, earlier stopping; check the split.",
        learnt_by_heart,
    ),
    Check(
        "promised share of fraud",
        "Scores promise far more or less fraud than there is: resampling or class weights without calibration.",
        "Calibrate on held-out rows that were not resampled.",
        promised_share,
    ),
)
