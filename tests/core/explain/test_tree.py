"""The kernel equals shap and the definition, for every shape of forest and every number of rows."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bentos.core.errors import InvalidInput
from bentos.core.explain import TreeExplainer, load_explainer
from bentos.core.explain import _tree_kernel as kernel
from tests.core.explain import oracle
from tests.core.explain.forests import FEATURES, chain, data, forest
from training.export.explainer_arrays import forest_arrays
from training.export.parity_rows import threshold_rows
from training.export.reference import shap_of_forest

PARAMETERS = st.fixed_dictionaries(
    {
        "n_estimators": st.integers(1, 6),
        "max_depth": st.sampled_from([1, 2, 3, 5, 8, None]),
        "max_leaf_nodes": st.sampled_from([None, 2, 7, 40]),
        "max_features": st.sampled_from([1, 3, None]),
        "class_weight": st.sampled_from([None, "balanced", "balanced_subsample"]),
        "min_samples_leaf": st.sampled_from([1, 5]),
        "extra": st.booleans(),
        "seed": st.integers(0, 10_000),
        "rows": st.sampled_from([20, 150, 600]),
    }
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PARAMETERS, st.integers(1, 40))
def test_random_forests_equal_shap_and_add_up(parameters: dict[str, Any], count: int) -> None:
    model = forest(**parameters)
    if len(model.classes_) < 2:
        return
    sample, _ = data(count, parameters["seed"] + 1)
    rows = np.concatenate([sample, threshold_rows(sample, model, 3, np.random.default_rng(0))])
    explainer = load_explainer("forest", forest_arrays(model))
    values = explainer.contributions(rows)
    np.testing.assert_allclose(values, shap_of_forest(model, rows, 1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        explainer.base_value + values.sum(axis=1), model.predict_proba(rows)[:, 1], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("depth", [3, None])
def test_the_definition_gives_the_same(depth: int | None) -> None:
    arrays = forest_arrays(forest(300, n_estimators=2, max_depth=depth, max_features=None))
    rows, _ = data(5, 7)
    values = TreeExplainer(arrays, FEATURES).contributions(rows)
    np.testing.assert_allclose(values, oracle.contributions(arrays, rows), rtol=0, atol=1e-12)


@pytest.mark.parametrize("levels", [1, 2, 22, 35, 150])
def test_chains_of_any_depth_are_exact(levels: int) -> None:
    arrays = chain(levels)
    rows = np.random.default_rng(levels).normal(scale=2, size=(6, FEATURES)).astype(np.float32)
    explainer = TreeExplainer(arrays, FEATURES)
    values = explainer.contributions(rows)
    np.testing.assert_allclose(values, oracle.contributions(arrays, rows), rtol=0, atol=1e-12)
    np.testing.assert_allclose(explainer.contributions(rows[:1]), values[:1], rtol=0, atol=1e-12)
    # All 21 features on a path need 11 points, more levels do not.
    assert explainer._forest.points <= 11


def test_grown_deep_trees_equal_shap() -> None:
    rng = np.random.default_rng(0)
    X, _ = data(1500)
    model = forest(n_estimators=3, max_features=1, extra=True)
    model.fit(X, rng.random(len(X)) < 0.5)  # noise has to be learnt row by row
    assert max(tree.get_depth() for tree in model.estimators_) >= 25
    values = load_explainer("forest", forest_arrays(model)).contributions(X[:20])
    np.testing.assert_allclose(values, shap_of_forest(model, X[:20], 1), rtol=0, atol=1e-12)


def test_the_number_of_rows_does_not_matter() -> None:
    rows, _ = data(3 * kernel.BLOCK + 5, 3)
    explainer = TreeExplainer(forest_arrays(forest(max_depth=8)), FEATURES)
    alone = np.concatenate([explainer.contributions(rows[i : i + 1]) for i in range(len(rows))])
    for count in range(len(rows) + 1):
        np.testing.assert_allclose(explainer.contributions(rows[:count]), alone[:count], rtol=0, atol=1e-14)


@pytest.mark.parametrize("instructions", kernel.INSTRUCTIONS)
@pytest.mark.parametrize("depth", [1, 4, 9, None])
def test_every_set_of_instructions_gives_the_same(depth: int | None, instructions: str) -> None:
    rows, _ = data(2 * kernel.BLOCK + 5, 3)
    explainer = TreeExplainer(forest_arrays(forest(max_depth=depth, max_features=None)), FEATURES)
    expected = explainer.contributions(rows)
    # Every number of rows up to two blocks: each is cut into other blocks, strips and single rows.
    for count in range(1, len(rows) + 1):
        values = np.full((count, FEATURES), np.nan)
        explainer._forest.contributions(rows[:count], values, instructions)
        np.testing.assert_allclose(values, expected[:count], rtol=0, atol=1e-13)


def test_the_slowest_instructions_work_everywhere() -> None:
    assert kernel.INSTRUCTIONS[-1] == "baseline"
    compiled = TreeExplainer(forest_arrays(forest()), FEATURES)._forest
    rows = data(2)[0]
    with pytest.raises(ValueError, match="instructions mmx cannot be used here"):
        compiled.contributions(rows, np.empty(rows.shape), "mmx")


@pytest.mark.parametrize("count", [1, 64, 65, 128, 1000])
def test_the_number_of_threads_changes_no_bit(count: int) -> None:
    rows, _ = data(count, 3)
    arrays = forest_arrays(forest(max_depth=8))
    expected = TreeExplainer(arrays, FEATURES).contributions(rows)
    for threads in (2, 3, 8):
        explainer = load_explainer("forest", arrays, threads=threads)
        np.testing.assert_array_equal(explainer.contributions(rows), expected)


def test_threads_end_with_the_call() -> None:
    explainer = TreeExplainer(forest_arrays(forest()), FEATURES, threads=4)
    before = threading.active_count()
    explainer.contributions(data(500)[0])
    assert threading.active_count() == before


def test_rows_on_a_threshold_go_where_the_model_sends_them() -> None:
    model = forest(n_estimators=20, max_depth=6)
    sample, _ = data(50, 5)
    rows = threshold_rows(sample, model, 200, np.random.default_rng(0))
    explainer = load_explainer("forest", forest_arrays(model))
    np.testing.assert_allclose(
        explainer.base_value + explainer.contributions(rows).sum(axis=1),
        model.predict_proba(rows)[:, 1],
        rtol=0,
        atol=1e-12,
    )


def test_a_forest_of_leaves_alone_explains_nothing() -> None:
    leaf = {
        "offsets": np.array([0, 1, 2], dtype=np.int64),
        "right": np.array([-1, -1], dtype=np.int32),
        "feature": np.array([-1, -1], dtype=np.int16),
        "threshold": np.zeros(2, dtype=np.float32),
        "cover": np.array([10.0, 5.0]),
        "value": np.array([0.25, 0.75]),
    }
    explainer = TreeExplainer(leaf, FEATURES)
    assert explainer.base_value == 0.5
    assert not explainer.contributions(data(20)[0]).any()


def test_float64_rows_are_seen_as_the_model_sees_them() -> None:
    rows = data(20, 3)[0].astype(np.float64) * (1 + 1e-9)
    explainer = TreeExplainer(forest_arrays(forest()), FEATURES)
    np.testing.assert_array_equal(explainer.contributions(rows), explainer.contributions(rows.astype(np.float32)))
    np.testing.assert_array_equal(
        explainer.contributions(np.asfortranarray(rows)), explainer.contributions(rows.astype(np.float32))
    )


@pytest.mark.parametrize("shape", [(3, 20), (21,), (2, 3, 21), (0, 22)])
def test_rows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    explainer = TreeExplainer(forest_arrays(forest()), FEATURES)
    with pytest.raises(InvalidInput, match=r"needed is \[n, 21\]"):
        explainer.contributions(np.zeros(shape, dtype=np.float32))


def test_odd_values_pass_without_harm() -> None:
    rows = np.array([[np.nan] * 21, [np.inf] * 21, [-np.inf] * 21, [1e300] * 21])
    explainer = TreeExplainer(forest_arrays(forest()), FEATURES)
    assert np.isfinite(explainer.contributions(rows)).all()


def test_threads_share_an_explainer() -> None:
    rows, _ = data(200, 3)
    explainer = TreeExplainer(forest_arrays(forest(max_depth=8)), FEATURES)
    expected = explainer.contributions(rows)
    results: list[NDArray[np.float64]] = []
    threads = [
        threading.Thread(target=lambda: results.extend(explainer.contributions(rows) for _ in range(20)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 160
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_memory_stays_small() -> None:
    # 300 trees of 2,000 nodes stay below 100 MB when a node takes less than 160 bytes; it takes 32.
    arrays = forest_arrays(forest(2000, n_estimators=20, max_depth=None))
    explainer = TreeExplainer(arrays, FEATURES)
    assert explainer.nbytes / len(arrays["right"]) < 40
    assert TreeExplainer(chain(300), FEATURES).scratch_nbytes < 2_000_000
