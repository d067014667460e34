"""Milliseconds a row that reasons cost: the explainers beside shap's, on the same models.

Run with ``OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.treeshap``. One thread but where it says
otherwise. Of each call the fastest of several is taken, as other load on the machine only ever adds; each row of a
table measures both sides right after each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import shap

from bentos.core.explain import NetworkExplainer, TreeExplainer, top_reasons
from bentos.core.explain import _tree_kernel as kernel
from tests.core.explain.forests import FEATURES, data, forest
from tests.core.explain.networks import SCALER, layers, rows_like_training
from training.export.explainer_arrays import forest_arrays, network_arrays
from training.export.reference import shap_of_network

#: Rows of a call, calls of the kernel, calls of shap. A batch of the service has 1 to 64 rows.
CALLS = ((1, 200, 10), (2, 100, 5), (4, 100, 5), (8, 50, 3), (16, 50, 3), (32, 20, 2), (1000, 3, 1))


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

    for threads in (1, 2):
        several = TreeExplainer(arrays, FEATURES, threads=threads)
        print(f"{threads} threads, 1000 rows: {fastest(lambda part=several: part.contributions(rows), 5):.1f} ms")
    values = explainer.contributions(rows)
    words = fastest(lambda: [top_reasons(*pair) for pair in zip(rows, values, strict=True)], 5)
    print(f"three reasons in words: {words:.1f} µs a row")


def compare_network(hidden: tuple[int, ...], background: int = 100) -> None:
    """Print one network's table."""
    network = layers(hidden)
    arrays = network_arrays(SCALER, network, 1, rows_like_training(background, 1))
    explainer = NetworkExplainer(arrays, FEATURES)
    rows = rows_like_training(32, 2)
    print(f"\nnetwork of {hidden}, {background} background rows")
    print(f"{'rows':>6} {'numpy ms/row':>14} {'shap ms/row':>12} {'ratio':>7} {'largest difference':>20}")
    for count in (1, 4, 16, 32):
        part = rows[:count]
        own = fastest(lambda part=part: explainer.contributions(part), 50) / count
        scaled = SCALER.exact(part)
        reference = shap_of_network(network, arrays["background"], scaled, 1)
        theirs = fastest(lambda scaled=scaled: shap_of_network(network, arrays["background"], scaled, 1), 3) / count
        difference = np.abs(explainer.contributions(part) - reference).max()
        print(f"{count:>6} {own:>14.4f} {theirs:>12.3f} {theirs / own:>7.1f} {difference:>20.1e}")


def main() -> None:
    """Print the tables."""
    print(f"instructions: {kernel.INSTRUCTIONS[0]}, {kernel.BLOCK} rows a block")
    compare(10)
    compare(None)
    # As the presets network and handbook_network become when their encoders are folded in.
    compare_network((210, 64, 64))
    compare_network((180, 256, 256))


if __name__ == "__main__":
    main()
