"""Milliseconds a row that reasons cost: the TreeSHAP kernel beside shap.TreeExplainer, on the same forests.

Run with ``OMP_NUM_THREADS=1 python -m tests.benchmarks.treeshap``. One thread. Of each call the fastest of several is
taken, as other load on the machine only ever adds; each row of the table measures both sides right after each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import shap

from bentos.core.explain import TreeExplainer
from bentos.core.explain import _tree_kernel as kernel
from tests.core.explain.forests import FEATURES, data, forest
from training.export.explainer_arrays import forest_arrays

#: Rows of a call, calls of the kernel, calls of shap.
CALLS = ((1, 200, 10), (16, 50, 3), (1000, 3, 1))


def fastest(work: Callable[[], object], calls: int) -> float:
    """Milliseconds of the fastest of some calls, after one to warm up if there are several."""
    if calls > 1:
        work()
    taken = []
    for _ in range(calls):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1e3)
    return min(taken)


def compare(depth: int | None, trees: int = 100, training_rows: int = 4000) -> None:
    """Print one forest's table."""
    model = forest(training_rows, n_estimators=trees, max_depth=depth)
    rows, _ = data(1000, 1)
    start = time.perf_counter()
    arrays = forest_arrays(model)
    converted = time.perf_counter()
    explainer = TreeExplainer(arrays, FEATURES)
    loaded = time.perf_counter()
    reference = shap.TreeExplainer(model)
    print(
        f"\n{trees} trees, depth {depth}: {len(arrays['right']):,} nodes, {explainer._forest.points} points at most,"
        f" {explainer.nbytes / 1e6:.1f} MB held, {explainer.scratch_nbytes / 1e3:.0f} kB a call;"
        f" made in {(converted - start) * 1e3:.0f} ms, loaded in {(loaded - converted) * 1e3:.1f} ms"
    )
    print(f"{'rows':>6} {'kernel ms/row':>14} {'shap ms/row':>12} {'ratio':>7} {'largest difference':>20}")
    for count, own_calls, shap_calls in CALLS:
        part = rows[:count]
        own = fastest(lambda part=part: explainer.contributions(part), own_calls) / count
        if depth is None and count > 100:
            # Its time is linear in rows; a minute of waiting would say no more.
            part = part[:100]
        theirs = fastest(lambda part=part: reference.shap_values(part, check_additivity=False), shap_calls) / len(part)
        difference = np.abs(
            explainer.contributions(part) - np.asarray(reference.shap_values(part, check_additivity=False))[..., 1]
        ).max()
        print(f"{count:>6} {own:>14.4f} {theirs:>12.3f} {theirs / own:>7.1f} {difference:>20.1e}")


def main() -> None:
    """Print the tables."""
    print(f"instructions: {kernel.INSTRUCTIONS}, {kernel.BLOCK} rows a block")
    compare(10)
    compare(None)


if __name__ == "__main__":
    main()
