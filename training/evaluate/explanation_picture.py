"""The global summary of contributions: which features move scores, which way, and for which values."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from bentos.core.features import FEATURES
from training.evaluate.metrics import FloatArray
from training.evaluate.style import FRAUD, GREY, LEGITIMATE

__all__ = ["GlobalExplainer", "explanation_figure"]

_SHOWN: Final = 14
_SAMPLE: Final = 1_200


class GlobalExplainer(Protocol):
    """Whatever tells contributions to the raw score."""

    def contributions(self, rows: npt.NDArray[np.float32]) -> FloatArray:
        """From feature rows float32 [n, 21] to signed contributions float64 [n, 21]."""


def explanation_figure(explainer: GlobalExplainer, rows: npt.NDArray[np.float32], seed: int = 0) -> Figure:
    """Beeswarm of contributions beside the mean of their sizes, after Lundberg and Lee (2017).

    At most 1,200 rows are explained. Colour is the value's rank among them, as amounts and counts are too skewed
    for a linear scale.
    """
    random = np.random.default_rng(seed)
    chosen = rows[np.sort(random.permutation(len(rows))[:_SAMPLE])]
    contributions = explainer.contributions(chosen)
    size = np.abs(contributions).mean(axis=0)
    order = np.argsort(size)[::-1][:_SHOWN][::-1]
    figure = Figure(figsize=(9.2, 0.36 * len(order) + 1.6), layout="constrained")
    swarm, bars = figure.subplots(1, 2, sharey=True, width_ratios=[2.4, 1])
    colours = LinearSegmentedColormap.from_list("value", [LEGITIMATE, "#BBBBBB", FRAUD])
    points = None
    for height, feature in enumerate(order):
        values, effect = chosen[:, feature], contributions[:, feature]
        points = swarm.scatter(
            effect,
            height + _spread(effect, random),
            c=_ranks(values),
            cmap=colours,
            vmin=0,
            vmax=1,
            s=5,
            alpha=0.7,
            lw=0,
            rasterized=True,
        )
    swarm.set_ylim(-0.7, len(order) - 0.3)
    swarm.axvline(0, color=GREY, lw=0.8)
    swarm.set_yticks(range(len(order)), [FEATURES[feature].name for feature in order])
    swarm.set_xlabel("contribution to the raw score (right: towards fraud)")
    swarm.set_title("Contributions of each transaction")
    swarm.grid(visible=False, axis="y")
    bars.barh(range(len(order)), size[order], color=LEGITIMATE, height=0.6)
    bars.set_xlabel("mean size of the contribution")
    bars.set_title(f"Mean over {len(chosen):,} rows")
    bars.grid(visible=False, axis="y")
    bars.tick_params(axis="y", length=0)
    if points is not None:
        scale = figure.colorbar(points, ax=[swarm, bars], ticks=[0, 1], aspect=30, pad=0.01)
        scale.ax.set_yticklabels(["low", "high"])
        scale.set_label("value of the feature, by rank", labelpad=-14)
        scale.outline.set_visible(False)
    return figure


def _ranks(values: npt.NDArray[np.float32]) -> FloatArray:
    """Mid-rank of each value in 0–1; equal values share a colour."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    ranks: FloatArray = (middle / len(values))[place]
    return ranks


def _spread(effect: FloatArray, random: np.random.Generator) -> FloatArray:
    """Heights around 0 that fan out where many effects are alike."""
    edges = np.linspace(effect.min(), effect.max() + 1e-12, 81)
    place = np.clip(np.digitize(effect, edges) - 1, 0, 79)
    crowd = np.bincount(place, minlength=80)[place]
    heights: FloatArray = random.uniform(-1, 1, len(effect)) * 0.38 * np.sqrt(crowd / crowd.max())
    return heights
