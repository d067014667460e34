"""Network contributions equal shap.DeepExplainer's, add up, and hostile arrays are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from bentos.core.errors import ArtifactCorrupt, InvalidInput
from bentos.core.explain import NetworkExplainer, load_explainer, scale_rows
from tests.core.explain.networks import FEATURES, SCALER, layers
from tests.core.explain.networks import rows_like_training as rows
from training.export.explainer_arrays import network_arrays
from training.export.reference import shap_of_network
from training.models.preprocessing import ElementwiseScaler


def arrays_of(network: nn.Sequential, background: int = 20) -> dict[str, NDArray[Any]]:
    return network_arrays(SCALER, network, 1, rows(background, 1))


def logits(network: nn.Sequential, given: NDArray[np.float32]) -> NDArray[np.float64]:
    with torch.no_grad():
        out = network.double()(torch.from_numpy(SCALER.exact(given))).numpy()
    return np.asarray(out[:, 1] - out[:, 0])


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([(), (8,), (16, 8), (8, 8, 8)]), st.booleans(), st.integers(0, 1000), st.sampled_from([1, 3, 20])
)
def test_contributions_equal_shap_and_add_up(hidden: tuple[int, ...], norm: bool, seed: int, background: int) -> None:
    network = layers(hidden, norm=norm, seed=seed)
    arrays = arrays_of(network, background)
    explainer = NetworkExplainer(arrays, FEATURES)
    given_rows = np.concatenate([rows(8, seed + 1), rows(background, 1)[:2], np.zeros((1, FEATURES), np.float32)])
    values = explainer.contributions(given_rows)
    expected = shap_of_network(network, arrays["background"], SCALER.exact(given_rows), 1)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        explainer.base_value + values.sum(axis=1), logits(network, given_rows), rtol=0, atol=1e-9
    )


def test_a_change_too_small_to_divide_by_takes_the_slope_at_the_background() -> None:
    # One ReLU that the background row opens by a hair and the row closes by a hair, and the other way round.
    first, last = nn.Linear(FEATURES, 2, dtype=torch.float64), nn.Linear(2, 2, dtype=torch.float64)
    with torch.no_grad():
        for parameter in (*first.parameters(), *last.parameters()):
            parameter.zero_()
        first.weight[0, 0] = 1.0
        first.weight[1, 0] = -1.0
        last.weight[1] = torch.tensor([1.0, 10.0], dtype=torch.float64)
    network = nn.Sequential(first, nn.ReLU(), last)
    plain = ElementwiseScaler(log=()).fit(rows(10))
    plain.mean_, plain.scale_ = np.zeros(FEATURES), np.ones(FEATURES)
    background = np.zeros((1, FEATURES), np.float32)
    background[0, 0] = 3e-7
    row = -background
    arrays = network_arrays(plain, network, 1, background)
    values = NetworkExplainer(arrays, FEATURES).contributions(row)
    np.testing.assert_allclose(values, shap_of_network(network, arrays["background"], plain.exact(row), 1), atol=1e-15)
    assert values[0, 0] == pytest.approx(-6e-7)


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    explainer = NetworkExplainer(arrays_of(layers((16, 8))), FEATURES)
    given_rows = rows(50, 2)
    whole = explainer.contributions(given_rows)
    monkeypatch.setattr("bentos.core.explain.network._BLOCK_VALUES", 20 * 21 * 7)
    np.testing.assert_allclose(explainer.contributions(given_rows), whole, rtol=0, atol=1e-13)
    np.testing.assert_allclose(explainer.contributions(given_rows[:1]), whole[:1], rtol=0, atol=1e-13)
    assert explainer.contributions(given_rows[:0]).shape == (0, FEATURES)


@pytest.mark.parametrize("count", [1, 2, 33])
def test_the_number_of_threads_changes_no_bit(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bentos.core.explain.network._BLOCK_VALUES", 20 * 21 * 2)
    arrays = arrays_of(layers((16, 8)))
    expected = NetworkExplainer(arrays, FEATURES).contributions(rows(count, 2))
    for threads in (2, 8):
        explainer = load_explainer("network", arrays, threads=threads)
        np.testing.assert_array_equal(explainer.contributions(rows(count, 2)), expected)


def test_results_outlive_later_calls() -> None:
    explainer = NetworkExplainer(arrays_of(layers((16, 8))), FEATURES)
    first = explainer.contributions(rows(3, 2))
    kept = first.copy()
    explainer.contributions(rows(5, 4))
    np.testing.assert_array_equal(first, kept)


def test_scaling_is_the_training_scalers() -> None:
    given_rows = rows(30, 3) * np.float32(-1) ** np.arange(30, dtype=np.float32)[:, None]
    scaled = scale_rows(given_rows, SCALER.log_, SCALER.mean_, SCALER.scale_, SCALER.clip)
    np.testing.assert_array_equal(scaled, SCALER.exact(given_rows))
    assert np.abs(scale_rows(given_rows * 1e30, SCALER.log_, SCALER.mean_, SCALER.scale_, 8.0)).max() == 8.0


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"needed is \[n, 21\]"):
        NetworkExplainer(arrays_of(layers(())), FEATURES).contributions(rows(2)[:, :20])


ARRAYS = arrays_of(layers((8, 4)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_1": ARRAYS["weight_1"][:, :7]}, "layer 1"),
        ({"bias_1": ARRAYS["bias_1"][:3]}, "layer 1"),
        ({"weight_2": np.zeros((2, 4)), "bias_2": np.zeros(2)}, "2 outputs"),
        ({"weight_0": np.zeros((0, 21)), "bias_0": np.zeros(0)}, "layer 0"),
        ({"weight_0": np.full((8, 21), np.nan)}, "must be finite"),
        ({"weight_0": np.zeros((8, 21), np.float32)}, "weight_0 is float32"),
        ({"background": np.zeros((0, 21))}, "background"),
        ({"background": np.zeros((5, 20))}, "background"),
        ({"background": np.full((5, 21), np.inf)}, "must be finite"),
        ({"scale": np.zeros(21)}, "scale finite and positive"),
        ({"mean": np.zeros(20)}, "mean has the shape"),
        ({"log": np.zeros(21)}, "log is float64"),
        ({"clip": np.array(0.0)}, "clip is 0.0"),
        ({"clip": np.array(np.nan)}, "clip is nan"),
        ({"weight_9": np.zeros((1, 1))}, "needed are"),
    ],
)
def test_a_wrong_array_is_named(changes: dict[str, NDArray[Any]], message: str) -> None:
    with pytest.raises(ArtifactCorrupt, match=message):
        load_explainer("network", {**ARRAYS, **changes})


def test_no_layers_at_all_are_refused() -> None:
    with pytest.raises(ArtifactCorrupt, match="0 layers"):
        load_explainer("network", {name: ARRAYS[name] for name in ("log", "mean", "scale", "clip", "background")})
