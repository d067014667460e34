"""Has the model learnt by heart? Compares its metrics on training rows with those on rows it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["OverfittingCheck", "check_overfitting"]


@dataclass(frozen=True)
class OverfittingCheck:
    """The verdict with its numbers.

    ``status`` is ok, warn or fail; ``gap`` is train minus test, ``noise`` the width that chance alone explains.
    """

    status: Literal["ok", "warn", "fail", "unknown"]
    metric: str
    train: float
    test: float
    gap: float
    noise: float
    message: str


def check_overfitting(
    train: Mapping[str, float],
    test: Mapping[str, float],
    *,
    noise: float = 0.0,
    metric: str = "roc_auc",
    warn_gap: float = 0.10,
    fail_test: float = 0.60,
) -> OverfittingCheck:
    """Warn when the training metric is far above the test metric, fail when nothing of it is left.

    ROC AUC is compared, not average precision: it does not depend on the share of fraud, which sampling and the
    removal of known compromised customers change between the two sides. A fully grown forest reaches 1.0 on its
    training rows whatever it has learnt, so a gap alone is a warning, not a failure. ``warn_gap`` of 0.10: on the
    handbook's data a sound forest of full depth shows about 0.13 (1.00 against 0.87) and one of depth 10 about 0.03;
    a warning there says "try less depth", rightly. It fails when the test side is under ``fail_test``, where
    .5 is a coin, while the training side claims success.

    Parameters
    ----------
    train, test
        Metrics of both sides, means over folds.
    noise
        Half-width of the test metric's interval; a gap inside ``warn_gap + noise`` is no news.
    """
    left, right = train[metric], test[metric]
    gap = left - right
    numbers = f"{metric} is {left:.3f} on training rows and {right:.3f} on unseen rows, a gap of {gap:+.3f}"
    limit = f"a gap over {warn_gap:.2f} plus {noise:.3f} of noise is a warning"
    if gap > warn_gap + noise and right < fail_test:
        message = (
            f"{numbers}: what was learnt does not carry over (unseen under {fail_test:.2f} fails);"
            " check the split and the features for leakage, then regularise"
        )
        return OverfittingCheck("fail", metric, left, right, gap, noise, message)
    if gap > warn_gap + noise:
        message = f"{numbers}; {limit}: try less depth, larger leaves, more dropout or earlier stopping"
        return OverfittingCheck("warn", metric, left, right, gap, noise, message)
    return OverfittingCheck("ok", metric, left, right, gap, noise, f"{numbers}; {limit}")
