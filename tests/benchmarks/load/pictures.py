"""The pictures of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np

from tests.benchmarks.load.bench import OURS, PEERS
from tests.benchmarks.load.parts import half, overload
from tests.benchmarks.load.results import Measurement, Results

__all__ = ["draw_latency", "draw_throughput"]

_COLOURS: Final = {
    OURS: "#0b6e4f",
    "FastAPI, onnxruntime": "#2f6db5",
    "FastAPI, sklearn": "#c8553d",
    "BentoML, stock batching": "#8a5aa8",
    "no-op": "#9a9a9a",
}
_FATES: Final = {
    "answered": ("#0b6e4f", "answered"),
    "shed": ("#f0b429", "refused with 429 or 503"),
    "not_sent": ("#d9d9d9", "not sent: no connection free"),
    "failed": ("#c0392b", "failed"),
}
_SMALL: Final = 9


def draw_throughput(results: Results, path: Path) -> bool:
    """Requests a second and p99 by connections; False when neither was measured."""
    names = [name for name in (OURS, *PEERS) if results.find("throughput", name, "predict")]
    if not names:
        return False
    figure, axes = _axes([["per_second", "p99"]], (11, 4.2))
    for value, axis in axes.items():
        for name in names:
            at = sorted({item.connections for item in results.find("throughput", name, "predict")})
            y = [results.median(value, "throughput", name, "predict", connections) for connections in at]
            own = name == OURS
            axis.plot(
                range(len(at)),
                y,
                "o-" if name != "no-op" else "o--",
                color=_COLOURS[name],
                lw=2.4 if own else 1.5,
                ms=6 if own else 4,
                zorder=3 if own else 2,
                label=name,
            )
        axis.set_xticks(range(len(at)), at)
        axis.set_yscale("log")
        axis.set_xlabel("connections")
        _tidy(axis)
    axes["per_second"].set_title("requests a second, closed loop", fontsize=11, loc="left")
    axes["p99"].set_title("p99, milliseconds", fontsize=11, loc="left")
    figure.legend(
        *axes["p99"].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=_SMALL
    )
    _save(figure, path)
    return True


def draw_latency(results: Results, path: Path) -> bool:
    """Latency percentiles at half of capacity beside the overload's course; False when either was not measured."""
    halves = {
        (name, load): results.middle("p99", "half", name, load)
        for name, load in [(OURS, load) for load in half.LOADS] + [(name, half.LOADS[0]) for name in half.CONTROLS]
    }
    course = results.middle("p99", "overload", OURS, overload.LOAD, overload.CONNECTIONS[0])
    if course is None or any(item is None for item in halves.values()):
        return False
    figure, axes = _axes([["half", "fates"], ["half", "times"]], (11, 4.8))
    _percentiles(axes["half"], {key: item for key, item in halves.items() if item is not None})
    _fates(axes["fates"], course)
    _times(axes["times"], course)
    _save(figure, path)
    return True


def _percentiles(axis: Any, items: dict[tuple[str, str], Measurement]) -> None:
    for (name, load), item in items.items():
        share = np.array(item.series["share"])
        shown = (share >= 0.5) & (share <= 0.9999)
        axis.plot(
            1 / (1 - share[shown]),
            np.array(item.series["milliseconds"])[shown],
            color=_COLOURS[name],
            lw=2.4 if name == OURS else 1.5,
            ls=":" if load == "explain=all" else "--" if name == "no-op" else "-",
            label=f"{name}, {load}" if name == OURS else f"{name}, same rate",
        )
    axis.set_xscale("log")
    axis.set_yscale("log")
    marks = (0.5, 0.9, 0.99, 0.999, 0.9999)
    axis.set_xticks([1 / (1 - mark) for mark in marks], [f"{mark * 100:g} %" for mark in marks])
    axis.minorticks_off()
    axis.set_xlabel("share of requests answered within")
    axis.set_title("half of capacity: ms from when a request was due", fontsize=11, loc="left")
    low, high = axis.get_ylim()
    # Room for the legend.
    axis.set_ylim(low, high * (high / low) ** 0.35)
    axis.legend(fontsize=_SMALL, frameon=False, loc="upper left")
    _tidy(axis)


def _fates(axis: Any, course: Measurement) -> None:
    at = np.array(course.series["at"])
    layers = {name: np.array(course.series[name]) / 1e3 for name in _FATES}
    layers = {name: layer for name, layer in layers.items() if layer.any()}
    axis.stackplot(
        at,
        *layers.values(),
        colors=[_FATES[name][0] for name in layers],
        labels=[_FATES[name][1] for name in layers],
        step="post",
        lw=0,
    )
    axis.set_title(
        f"overload, {overload.CONNECTIONS[0]:,} connections: thousands of requests a second", fontsize=11, loc="left"
    )
    axis.legend(fontsize=_SMALL - 1, loc="upper right", frameon=True, framealpha=0.9, edgecolor="none")
    axis.set_xlim(at[0], at[-1])
    _tidy(axis)


def _times(axis: Any, course: Measurement) -> None:
    at = course.series["at"]
    axis.plot(at, course.series["p99"], color=_COLOURS[OURS], lw=2, label="p99 of the answered")
    axis.plot(at, course.series["p50"], color=_COLOURS[OURS], lw=1.2, alpha=0.6, label="p50")
    axis.axhline(overload.DEADLINE_MILLISECONDS, color="#c0392b", lw=1, ls="--", label="deadline")
    axis.set_xlim(at[0], at[-1])
    axis.plot(course.series["memory_at"], course.series["own_mb"], color="#555555", lw=1.2, ls=":", label="memory, MB")
    axis.set_ylim(0, 1.3 * axis.get_ylim()[1])
    axis.set_xlabel("seconds")
    axis.set_title("ms from when a request was due, and own memory", fontsize=11, loc="left")
    axis.legend(fontsize=_SMALL - 1, ncols=4, frameon=False, loc="upper right")
    _tidy(axis)


def _axes(places: Any, size: tuple[float, float]) -> tuple[Any, Any]:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    return plt.subplot_mosaic(places, figsize=size, layout="constrained")


def _tidy(axis: Any) -> None:
    axis.grid(axis="y", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=_SMALL)
    if axis.get_yscale() == "log":
        axis.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:,g}"))


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
