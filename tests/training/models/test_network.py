"""The network: what it is made of, how it stops, that folding changes nothing."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import nn

from bentos.core.errors import DataError
from bentos.core.features import FEATURE_NAMES
from tests.training.models.data import network, small
from training.models.encoding import PiecewiseEncoder, quantile_edges, tree_edges
from training.models.network import FraudNetwork, network_space, stopping_split
from training.models.train import fit_pipeline, train_model
from training.models.trained import raw_scores


def encoder(rows: np.ndarray) -> PiecewiseEncoder:
    edges = (*quantile_edges(rows[:, :20], 5), ())
    return PiecewiseEncoder(edges, 4.0, rows, np.where(np.arange(21) % 2, 0.3, 1.0))


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("hidden", [(8,), (8, 4)])
@pytest.mark.parametrize("encoded", [False, True])
def test_folding_changes_no_logit(heads: int, batch_norm: bool, hidden: tuple[int, ...], encoded: bool) -> None:
    torch.manual_seed(0)
    rows = np.clip(np.random.default_rng(0).normal(0, 2, (300, 21)), -4, 4).astype(np.float32)
    made = FraudNetwork(hidden, 0.3, batch_norm, heads, encoder(rows) if encoded else None)
    given = torch.from_numpy(rows)
    for _ in range(3):
        made(given)  # batch normalisation learns its means
    made.eval()
    before = made(given).detach()
    made.fold()
    made.eval()
    torch.testing.assert_close(made(given), before, atol=2e-4, rtol=1e-4)
    assert made.encoder is None
    assert not len(made.others)
    kinds = {type(layer) for layer in made.layers}
    assert kinds <= {nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout}
    last = made.layers[-1]
    assert isinstance(last, nn.Linear)
    assert last.out_features == 2
    first = made.layers[0]
    assert isinstance(first, nn.Linear)
    assert first.in_features == 21


def test_pieces_are_the_share_below_the_value() -> None:
    rows = np.zeros((4, 21), dtype=np.float32)
    rows[:, 0] = [-3, 0.5, 1.5, 9]
    edges = ((0.0, 1.0, 3.0), *(() for _ in range(20)))
    made = PiecewiseEncoder(edges, 10.0, rows, np.ones(21))
    made.get_buffer("mean").zero_()
    made.get_buffer("scale").fill_(1)
    np.testing.assert_allclose(
        made(torch.from_numpy(rows))[:, 21:].numpy(), [[0, 0], [0.5, 0], [1, 0.25], [1, 1]], atol=1e-6
    )


def test_edges_follow_the_labels() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(0, 1, (4000, 2)).astype(np.float32)
    labels = (rows[:, 0] > 1.234).astype(np.int64)
    edges = tree_edges(rows, labels, 4, seed=0)
    assert min(abs(edge - 1.234) for edge in edges[0]) < 0.01
    assert all(low < high for cuts in edges for low, high in pairwise(cuts))
    assert len(quantile_edges(np.ones((50, 1), dtype=np.float32), 8)[0]) == 1


@pytest.mark.parametrize("parameters", [{"bins": 0}, {"bins": 6, "heads": 2}, {"knots": {"amount": [0, 50, 200]}}])
def test_raw_score_is_the_logit_difference_of_the_layers(parameters: dict[str, Any]) -> None:
    rows, labels = small(600)
    pipeline = fit_pipeline(network(**parameters), rows, labels, 0)
    raw = raw_scores(pipeline, "network", rows)
    assert raw.dtype == np.float64
    probability = pipeline.predict_proba(rows)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(1 / (1 + np.exp(-raw)), probability[:, 1], atol=2e-4)
    # A row's score does not depend on its neighbours.
    np.testing.assert_allclose(raw_scores(pipeline, "network", rows[:1]), raw[:1], rtol=1e-12)


def test_knots_are_in_the_unit_of_their_feature() -> None:
    rows, labels = small(600)
    pipeline = fit_pipeline(network(bins=0, knots={"amount": [10, 220, 221]}), rows, labels, 0)
    scaler, first = pipeline[0], pipeline[-1].module_.layers[0]
    at = np.zeros((3, 21))
    at[:, 0] = [10, 220, 221]
    own = first.weight[:, 0].detach().numpy() == 1
    borders = -first.bias[own].detach().numpy()
    np.testing.assert_allclose(np.sort(borders)[1:], scaler.exact(at)[:, 0], atol=1e-6)


def test_the_best_weights_are_restored() -> None:
    rows, labels = small(1500)
    config = network(epochs=40, patience=4, learning_rate=0.02, dropout=0.0, weight_decay=0.0, schedule="constant")
    pipeline = fit_pipeline(config, rows, labels, 0)
    history = pipeline[-1].history[:, "held_out_average_precision"]
    assert len(history) < 40
    assert np.argmax(history) == len(history) - 5
    _, stop = stopping_split(labels, config.network.held_out)
    found = average_precision_score(labels[stop], raw_scores(pipeline, "network", rows[stop]))
    assert found == pytest.approx(max(history), abs=1e-4)


def test_a_fixed_number_of_epochs_uses_all_rows() -> None:
    rows, labels = small(600)
    pipeline = fit_pipeline(network(patience=None, epochs=3), rows, labels, 0)
    assert len(pipeline[-1].history) == 3
    assert "valid_loss" not in pipeline[-1].history[-1]
    np.testing.assert_allclose(pipeline[0].mean_[1], rows[:, 1].mean(), rtol=1e-6)


def test_refit_trains_on_all_rows_for_the_best_number_of_epochs() -> None:
    rows, labels = small(600)
    plain = fit_pipeline(network(patience=2, epochs=8), rows, labels, 0)
    history = plain[-1].history[:, "held_out_average_precision"]
    again = fit_pipeline(network(patience=2, epochs=8, refit=True), rows, labels, 0)
    assert len(again[-1].history) == int(np.argmax(history)) + 1
    np.testing.assert_allclose(again[0].mean_[1], rows[:, 1].mean(), rtol=1e-6)
    assert plain[0].mean_[1] != again[0].mean_[1]


def test_the_latest_rows_decide_when_to_stop() -> None:
    labels = np.zeros(100, dtype=np.int64)
    labels[[5, 10, 15, 20, 25, 50, 60, 70, 92, 95]] = 1
    fit, stop = stopping_split(labels, 0.1)
    np.testing.assert_array_equal(np.concatenate([fit, stop]), np.arange(100))
    assert stop[0] == 50  # more than a tenth, as five frauds are needed
    fit, stop = stopping_split(labels, 0.5, "stratified", seed=1)
    assert labels[stop].sum() == labels[fit].sum() == 5
    assert len(np.intersect1d(fit, stop)) == 0
    with pytest.raises(DataError, match="early stopping needs 5 on either side"):
        stopping_split(labels[::-1].copy(), 0.8)


def test_class_weights_come_from_the_rows_that_are_fitted() -> None:
    rows, labels = small(800)
    plain = fit_pipeline(network(epochs=20, patience=None), rows, labels, 0).predict_proba(rows)[:, 1].mean()
    heavy = fit_pipeline(network({"strategy": "class_weight"}, epochs=20), rows, labels, 0)
    assert heavy.predict_proba(rows)[:, 1].mean() > 1.3 * plain
    weight = heavy[-1].criterion_.weight
    fit, _ = stopping_split(labels, 0.15)
    assert weight[1].item() == pytest.approx((len(fit) - labels[fit].sum()) / labels[fit].sum())


def test_a_last_row_alone_does_not_break_batch_normalisation() -> None:
    rows, labels = small(513)
    pipeline = fit_pipeline(network(patience=None, batch_norm=True, epochs=2), rows, labels, 0)
    assert np.isfinite(raw_scores(pipeline, "network", rows)).all()


def test_a_trained_network_survives_joblib_without_its_training_rows() -> None:
    rows, labels = small(3000)
    model = train_model(network(heads=2), rows, labels)
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    assert len(buffer.getvalue()) < rows.nbytes / 2
    buffer.seek(0)
    np.testing.assert_array_equal(joblib.load(buffer).score(rows), model.score(rows))


def test_the_space_names_what_the_configuration_has() -> None:
    known = network().network.model_dump()
    names = [name.removeprefix("parameters.") for name in network_space(network()) if name.startswith("parameters.")]
    assert names
    assert set(names) <= set(known)
    assert len(FEATURE_NAMES) == 21
