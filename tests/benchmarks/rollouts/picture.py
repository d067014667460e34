"""The picture of docs/rollout_verdicts.md."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

from k8s.rollout.margins import Rates
from tests.benchmarks.rollouts.measure import COMPARED, measured
from tests.benchmarks.rollouts.page import at
from tests.benchmarks.rollouts.scenarios import SCENARIOS
from training.evaluate.style import APPROVE, BLOCK, FRAUD, GREY, LEGITIMATE, REVIEW, STYLE

__all__ = ["draw"]


def draw(results: Path, path: Path) -> None:
    """Draw what was measured."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 9), layout="constrained")
        ended, requests, evidence, planned = figure.subplots(2, 2).ravel()
        _ended(ended, results)
        _requests(requests, results)
        _evidence(evidence, results)
        _planned(planned, results)
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=110)
    # A palette: a quarter of the bytes, and nobody sees a difference.
    Image.open(drawn).convert("RGB").quantize(64).save(path, optimize=True)


def _ended(axes: Axes, results: Path) -> None:
    names = [scenario.name for scenario in SCENARIOS][::-1]
    left = np.zeros(len(names))
    shares = {"promoted": [], "rolled back, no customer saw it": [], "rolled back later": []}
    for name in names:
        found = measured(f"rollout {name}", results)
        back, shadow = found["ended"] == 2, found["answered"] == 0
        parts = (found["ended"] == 1, back & shadow, back & ~shadow)
        for values, part in zip(shares.values(), parts, strict=True):
            values.append(100 * part.mean())
    for (label, values), colour in zip(shares.items(), (APPROVE, LEGITIMATE, REVIEW), strict=True):
        axes.barh(names, values, left=left, color=colour, label=label)
        left = left + np.array(values)
    axes.set(title="How rollouts end", xlabel="% of 2,000", xlim=(0, 100))
    axes.grid(visible=False, axis="y")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.12), ncol=3, frameon=False)


def _requests(axes: Axes, results: Path) -> None:
    found = measured("compared", results)
    names = list(COMPARED)[::-1]
    for offset, kind, colour in ((0.12, "gates", LEGITIMATE), (-0.12, "thresholds", FRAUD)):
        for row, name in enumerate(names):
            values = found[f"{name}: {kind}"]
            last = np.median(found[f"{name}: all"])
            middle, high = min(np.median(values), last), min(at(values, 0.99), last)
            axes.plot([middle, high], [row + offset] * 2, color=colour, lw=2, label=kind if row == 0 else None)
            axes.plot(middle, row + offset, "o", color=colour, ms=6)
            if np.isinf(at(values, 0.99)):
                missed = f" {np.isinf(values).mean():.0%} never"
                axes.plot(high, row + offset, ">", color=colour, ms=8)
                axes.text(last * 1.1, row + offset, missed, color=colour, va="center", fontsize=8.5)
    axes.set_yticks(range(len(names)), names)
    axes.set(title="Requests until harm is found, at 25 %", xscale="log", xlim=(100, 1.2e6))
    axes.set_xlabel("requests of the challenger: median, up to 99 % of the canaries")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.legend(loc="upper left")


def _evidence(axes: Axes, results: Path) -> None:
    for name, colour, label in (("errors equal", LEGITIMATE, "equal"), ("errors doubled", BLOCK, "twice the errors")):
        traces = measured(name, results)["evidence"]
        seen = 1_000 * (1 + np.arange(len(traces)))
        axes.plot(seen, traces, color=colour, alpha=0.35, lw=0.8)
        axes.plot([], [], color=colour, label=label)
    axes.axhline(-np.log(Rates().fail_share("errors")), color=GREY, ls="--", label="fails from here on")
    axes.set(title="Evidence of harm, 40 rollouts of each", xlabel="copies", ylabel="logarithm of the e-value")
    axes.set(ylim=(-5, 25), xlim=(0, 200_000), xticks=range(0, 200_001, 50_000))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.legend(loc="upper left")


def _planned(axes: Axes, results: Path) -> None:
    for name, colour, label in (
        ("errors doubled", BLOCK, "errors 0.1 → 0.2 %"),
        ("recall lost", LEGITIMATE, "a fifth of recall lost"),
    ):
        found = measured(name, results)
        parts = np.sort(found["failed"] / found["fixed"])
        axes.step(parts, 100 * np.arange(1, len(parts) + 1) / len(parts), color=colour, label=label, where="post")
    axes.axvline(1, color=GREY, ls=":", label="a test with one look is over")
    axes.axvline(1.5, color=GREY, ls="--", label="1.5 times that")
    axes.set(title="Planned harm that is found", xlabel="data, in parts of what a test with one look takes")
    axes.set(ylabel="% of 2,000", xlim=(0, 1.8), ylim=(0, 101))
    axes.legend(loc="lower right")
