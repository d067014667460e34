"""Score the champion on the rows that the challenger was judged on."""

from __future__ import annotations

import hashlib

import numpy as np

from bentos.core.artifact import Artifact
from training.evaluate.artifact_scorer import ArtifactScorer
from training.evaluate.evaluation import HeldOut
from training.evaluate.intervals import bootstrap_interval
from training.evaluate.metrics import FloatArray, expected_calibration_error
from training.evaluate.weighted import WeightedMetrics
from training.registry.acceptance import Comparison

__all__ = ["compare", "rows_digest"]


def rows_digest(held_out: HeldOut) -> str:
    """SHA-256 over feature rows, labels and customers."""
    digest = hashlib.sha256()
    for part in (held_out.rows, held_out.labels, held_out.customers):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def compare(held_out: HeldOut, champion: Artifact, *, resamples: int = 500, seed: int = 0) -> Comparison:
    """Compare the scores that stand in ``held_out`` with those of the champion's artifact on the same rows.

    Whatever data the champion was trained on, both meet the same transactions, customers are redrawn for both at
    once, and the intervals are of the difference (90 %: 5 % to either side). If the champion was trained on some
    of these rows it has an advantage, never the challenger, whose rows are held out.
    """
    labels, customers = held_out.labels, held_out.customers
    ours = held_out.scores
    theirs: FloatArray = ArtifactScorer(champion).score(held_out.rows)
    first, second = WeightedMetrics(labels, ours), WeightedMetrics(labels, theirs)
    precision = bootstrap_interval(
        lambda weights: first.average_precision(weights) - second.average_precision(weights),
        labels,
        customers,
        resamples=resamples,
        seed=seed,
        confidence=0.9,
    )
    brier = bootstrap_interval(
        lambda weights: first.brier(weights) - second.brier(weights),
        labels,
        customers,
        resamples=resamples,
        seed=seed,
        confidence=0.9,
    )
    digest = rows_digest(held_out)
    return Comparison(
        challenger_rows=digest,
        champion_rows=digest,
        rows=len(labels),
        frauds=int(labels.sum()),
        average_precision=precision,
        brier=brier,
        calibration_error=(expected_calibration_error(labels, ours), expected_calibration_error(labels, theirs)),
    )
