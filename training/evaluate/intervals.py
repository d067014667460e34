"""How sure a number is: intervals over folds, over customers, and of the difference of two models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from bentos.core.errors import DataError
from training.evaluate.metrics import BoolArray, FloatArray

__all__ = [
    "Interval",
    "WeightedMetric",
    "bootstrap_interval",
    "interval_over_folds",
    "paired_difference",
]

WeightedMetric = Callable[[FloatArray], float]
Codes = npt.NDArray[np.int64]

#: Fewest resamples in which both classes appear for an interval to be given.
_FEWEST_RESAMPLES: Final = 20


@dataclass(frozen=True)
class Interval:
    """A mean with its spread.

    Parameters
    ----------
    mean
        The estimate.
    std
        Sample standard deviation over the units (folds, or resamples); NaN for a single fold.
    low, high
        Ends of the interval; NaN when one unit allows none.
    units
        How many folds or resamples it stands on.
    confidence
        Share of such intervals that hold the true mean.
    method
        How it was computed, in words.
    """

    mean: float
    std: float
    low: float
    high: float
    units: int
    confidence: float
    method: str


def interval_over_folds(values: npt.ArrayLike, confidence: float = 0.95) -> Interval:
    """Student's t interval of the mean over folds.

    It takes folds as independent. With prequential folds, whose test periods are disjoint and whose training
    periods overlap little, that is nearly so; with shuffled folds it is too narrow: compare models with
    :func:`paired_difference`.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise DataError("an interval over folds needs at least one fold, got none")
    if data.size == 1:
        nothing = float("nan")
        return Interval(float(data[0]), nothing, nothing, nothing, 1, confidence, "one fold: no interval")
    std = float(data.std(ddof=1))
    half = float(stats.t.ppf((1 + confidence) / 2, data.size - 1)) * std / np.sqrt(data.size)
    mean = float(data.mean())
    return Interval(mean, std, mean - half, mean + half, data.size, confidence, f"Student's t over {data.size} folds")


def paired_difference(
    first: npt.ArrayLike, second: npt.ArrayLike, *, test_train_ratio: float = 0.0, confidence: float = 0.95
) -> Interval:
    """Interval of the mean of ``first − second``, where both models met the same folds.

    Seeds are averaged inside a fold before anything else: they share the test rows, so that counting each as an
    observation of its own would make the interval too narrow by up to √seeds. What is left is one difference per
    fold, n of them, and the corrected resampled t interval of Nadeau and Bengio (2003), "Inference for the
    Generalization Error", Machine Learning 52: mean ± t(n − 1) · s · √(1/n + n_test/n_train). The second term
    stands for training rows that folds share; it is 0, an ordinary paired t interval, when training sets are
    disjoint as in the handbook's prequential weeks.

    Parameters
    ----------
    first, second
        Metric values, [folds] or [folds, seeds]; the number of seeds may differ between the two.
    test_train_ratio
        Test rows over training rows of a fold when training sets overlap between folds, else 0.
    """
    left, right = (_by_fold(values) for values in (first, second))
    if left.shape != right.shape or left.size < 2:
        raise DataError(
            f"a paired difference needs the same two or more folds of both models, got {left.size} and {right.size}"
        )
    difference = left - right
    folds = difference.size
    std = float(difference.std(ddof=1))
    half = float(stats.t.ppf((1 + confidence) / 2, folds - 1)) * std * float(np.sqrt(1 / folds + test_train_ratio))
    mean = float(difference.mean())
    method = f"paired t over {folds} folds, seeds averaged within folds"
    if test_train_ratio:
        method += f", Nadeau–Bengio correction with test/train {test_train_ratio:.3g}"
    return Interval(mean, std, mean - half, mean + half, folds, confidence, method)


def _by_fold(values: npt.ArrayLike) -> FloatArray:
    data = np.asarray(values, dtype=np.float64)
    if data.ndim not in (1, 2) or not np.isfinite(data).all():
        raise DataError(f"metric values must be finite, [folds] or [folds, seeds], got shape {data.shape}")
    return data.mean(axis=1) if data.ndim == 2 else data


def bootstrap_interval(
    metric: WeightedMetric,
    labels: BoolArray,
    customers: Codes,
    *,
    resamples: int = 200,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Percentile interval by the cluster bootstrap: customers are redrawn with all their rows, not transactions.

    A customer's frauds come in sprees and resemble each other, so that rows are not independent but customers
    nearly are. Field and Welsh (2007), "Bootstrapping clustered data", JRSS B 69(3).

    Parameters
    ----------
    metric
        From the weight of each row, float64 [n], to the metric: a row drawn twice weighs 2. For the difference of
        two models pass the difference of their metrics, so that both meet the same customers.
    labels, customers
        bool [n]; int64 [n], numbers from 0 that say which rows belong together.
    """
    random = np.random.default_rng(seed)
    number = int(customers.max()) + 1
    draws: list[float] = []
    for _ in range(resamples):
        weights = np.bincount(random.integers(0, number, number), minlength=number)[customers].astype(np.float64)
        if weights[labels].any() and weights[~labels].any():
            draws.append(metric(weights))
    if len(draws) < _FEWEST_RESAMPLES:
        raise DataError(
            f"only {len(draws)} of {resamples} resamples of customers held both classes, {_FEWEST_RESAMPLES} are"
            " needed: there are too few frauds for an interval"
        )
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    estimate, std = metric(np.ones(len(labels))), float(np.std(draws, ddof=1))
    method = f"bootstrap over customers, {len(draws)} resamples, percentiles"
    return Interval(estimate, std, float(low), float(high), len(draws), confidence, method)
