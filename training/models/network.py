"""The network: an MLP with two logits, its search space, and its training through skorch."""

from __future__ import annotations

import math
from typing import Any, Final, Literal

import numpy as np
import torch
from imblearn.pipeline import Pipeline
from numpy.typing import NDArray
from sklearn.base import clone
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import nn

from bentos.core.errors import DataError
from bentos.core.features import FEATURE_NAMES
from training.models.config import ModelConfig
from training.models.encoding import PiecewiseEncoder, composed, encoder_edges, merged_heads
from training.models.imbalance import STRATEGIES, check_labels
from training.models.network_training import NetworkClassifier, network_callbacks
from training.models.progress import Progress
from training.models.space import Choice, Real, Space, Whole

__all__ = ["FraudNetwork", "fit_network", "make_network", "network_space", "stopping_split"]

#: Frauds that the rows which decide when to stop hold at least.
_FEWEST_FRAUDS: Final = 5


def network_space(config: ModelConfig) -> Space:  # noqa: ARG001 - same form as forest_space
    """Ranges worth searching for a network on some ten thousand to a million rows."""
    return {
        "parameters.hidden": Choice(("32", "64", "128", "64,64", "128,64", "128,128")),
        "parameters.dropout": Real(0.0, 0.5),
        "parameters.bins": Choice((0, 8, 16, 24)),
        "parameters.learning_rate": Real(3e-4, 1e-2, log=True),
        "parameters.weight_decay": Real(1e-3, 2.0, log=True),
        "parameters.batch_size": Choice((128, 256, 512)),
        "parameters.epochs": Whole(4, 60, log=True),
        "imbalance.strategy": Choice(("none", "class_weight", "oversample", "smote")),
        "imbalance.ratio": Real(0.05, 1.0, log=True),
    }


class FraudNetwork(nn.Module):
    """Scaled features to two logits, legitimate and fraud.

    Parameters
    ----------
    hidden
        Units of the hidden layers of a head.
    dropout
        Share of hidden units left out while training.
    batch_norm
        Whether to normalise before each ReLU.
    heads
        Networks beside each other, whose logits are averaged.
    encoder
        Comes before the layers while training, see :meth:`fold`.
    features
        Columns of a row.

    Attributes
    ----------
    layers : torch.nn.Sequential
        After :meth:`fold` the whole network: Linear, BatchNorm1d, ReLU and Dropout only, the last a Linear with two
        outputs. Before, the first head.
    """

    def __init__(
        self,
        hidden: tuple[int, ...] = (64, 64),
        dropout: float = 0.2,
        batch_norm: bool = False,
        heads: int = 1,
        encoder: PiecewiseEncoder | None = None,
        features: int = len(FEATURE_NAMES),
    ) -> None:
        super().__init__()
        self.encoder = encoder
        width = features if encoder is None else encoder.width
        self.layers, *others = (_head(width, hidden, dropout, batch_norm) for _ in range(heads))
        self.others = nn.ModuleList(others)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Logits [n, 2] of scaled rows [n, 21]; while training [n, 2, heads] when there are several heads."""
        encoded = X if self.encoder is None else self.encoder(X)
        if not len(self.others):
            single: torch.Tensor = self.layers(encoded)
            return single
        logits = torch.stack([head(encoded) for head in (self.layers, *self.others)], dim=2)
        return logits if self.training else logits.mean(dim=2)

    def fold(self) -> None:
        """Make encoder and heads part of ``layers``: from here on they alone are the network."""
        layers = merged_heads([self.layers, *(head for head in self.others if isinstance(head, nn.Sequential))])
        if self.encoder is not None:
            hinges, mix = self.encoder.folded()
            first, *rest = layers
            layers = nn.Sequential(hinges, nn.ReLU(), composed(mix, first), *rest)
        self.layers, self.others, self.encoder = layers, nn.ModuleList(), None


def _head(width: int, hidden: tuple[int, ...], dropout: float, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for units in hidden:
        layers.append(nn.Linear(width, units))
        if batch_norm:
            layers.append(nn.BatchNorm1d(units))
        layers.append(nn.ReLU())
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
        width = units
    return nn.Sequential(*layers, nn.Linear(width, 2))


def make_network(config: ModelConfig, seed: int, progress: Progress, stage: str) -> NetworkClassifier:
    """The classifier of a configuration, not fitted and without held-out rows."""
    own = config.network
    return NetworkClassifier(
        FraudNetwork,
        module__hidden=own.hidden,
        module__dropout=own.dropout,
        module__batch_norm=own.batch_norm,
        module__heads=own.heads,
        max_epochs=own.epochs,
        batch_size=own.batch_size,
        lr=own.learning_rate,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=own.weight_decay,
        # Pulling a bias towards 0 only spoils the share of fraud.
        optimizer__param_groups=[("*bias", {"weight_decay": 0.0})],
        callbacks=network_callbacks(own, progress, stage),
        train_split=None,
        seed=seed,
    )


def stopping_split(
    labels: NDArray[np.int64], share: float, by: Literal["latest", "stratified"] = "latest", seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to fit on, and the rows that decide when to stop.

    The latest by default: a stolen card or a compromised merchant makes several frauds in a row, and a draw puts some
    of them on both sides, so that learning customers by heart looks like progress.

    Parameters
    ----------
    labels
        0 or 1 [n], in the order of time.
    share
        Of rows to hold out. Of the latest rows more are taken until they hold 5 frauds.
    by
        "stratified" draws the same share of both classes.
    seed
        Of the draw.

    Raises
    ------
    DataError
        When one side has fewer than 5 frauds.
    """
    frauds = np.flatnonzero(labels)
    held = np.zeros(len(labels), dtype=bool)
    if by == "stratified":
        rng = np.random.default_rng(seed)
        for rows in (frauds, np.flatnonzero(labels == 0)):
            held[rng.permutation(rows)[: max(_FEWEST_FRAUDS, math.ceil(share * len(rows)))]] = True
    else:
        cut = len(labels) - math.ceil(share * len(labels))
        if len(frauds) >= _FEWEST_FRAUDS:
            cut = min(cut, int(frauds[-_FEWEST_FRAUDS]))
        held[cut:] = True
    inside = int(held[frauds].sum())
    if min(inside, len(frauds) - inside) < _FEWEST_FRAUDS:
        raise DataError(
            f"{len(frauds)} frauds among {len(labels)} training rows, {inside} of them in the rows that decide when to"
            f" stop; early stopping needs {_FEWEST_FRAUDS} on either side: train on more rows, lower"
            " parameters.held_out, or set parameters.patience to null to train a fixed number of epochs"
        )
    return np.flatnonzero(~held), np.flatnonzero(held)


def fit_network(
    pipeline: Pipeline,
    config: ModelConfig,
    rows: NDArray[np.float32],
    labels: NDArray[np.int64],
    seed: int,
) -> None:
    """Fit scaler, sampler and network; the rows that decide when to stop are never resampled.

    Parameters
    ----------
    pipeline
        Scaler, an optional sampler, the network.
    rows, labels
        Training rows [n, 21] and 0 or 1 [n], in the order of time.
    """
    own, network = config.network, pipeline.steps[-1][1]
    fit = np.arange(len(labels), dtype=np.int64)
    if own.patience is not None:
        fit, stop = stopping_split(labels, own.held_out, own.held_out_by, seed)
        scaler = clone(pipeline.steps[0][1]).fit(rows[fit])
        held_out = Dataset(scaler.transform(rows[stop]), labels[stop])
        network.set_params(train_split=predefined_split(held_out))
    _prepare(pipeline, config, rows[fit], labels[fit], seed)
    pipeline.fit(rows[fit], labels[fit])
    if own.patience is not None and own.refit:
        epochs = network.best_epoch
        network.set_params(train_split=None, max_epochs=epochs, callbacks__stopping=None, callbacks__average=None)
        _prepare(pipeline, config, rows, labels, seed)
        pipeline.fit(rows, labels)
    network.finish()


def _prepare(
    pipeline: Pipeline, config: ModelConfig, rows: NDArray[np.float32], labels: NDArray[np.int64], seed: int
) -> None:
    """Set what of the network depends on the rows it is fitted on: class weights and the pieces of the encoding."""
    check_labels(config.imbalance, labels)
    network = pipeline.steps[-1][1]
    settings: dict[str, Any] = {}
    if STRATEGIES[config.imbalance.strategy].weighted:
        frauds = int(labels.sum())
        weight = config.imbalance.weight or (len(labels) - frauds) / frauds
        settings["criterion__weight"] = torch.tensor([1.0, weight])
    own = config.network
    if own.bins or own.knots or own.gain:
        scaler = clone(pipeline.steps[0][1]).fit(rows)
        scaled = scaler.transform(rows)
        knots = {FEATURE_NAMES.index(name): _in_scaled_units(scaler, name, own.knots[name]) for name in own.knots}
        edges = encoder_edges(scaled, labels, own, knots, seed)
        gain = np.array([own.gain.get(name, 1.0) for name in FEATURE_NAMES])
        settings["module__encoder"] = PiecewiseEncoder(edges, own.clip, scaled, gain)
    network.set_params(**settings)


def _in_scaled_units(scaler: Any, name: str, borders: tuple[float, ...]) -> list[float]:
    """Borders of one feature as the scaler shows them; those beyond its clip fall together."""
    rows = np.zeros((len(borders), len(FEATURE_NAMES)))
    place = FEATURE_NAMES.index(name)
    rows[:, place] = borders
    return [float(value) for value in np.unique(scaler.exact(rows)[:, place])]


def logit_difference(network: Any, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logit of fraud minus the other, computed in float64, [n] of scaled rows [n, 21]."""
    import copy

    layers = copy.deepcopy(network.module_.layers).double().eval()
    with torch.inference_mode():
        logits = layers(torch.from_numpy(np.ascontiguousarray(scaled))).numpy()
    result: NDArray[np.float64] = logits[:, 1] - logits[:, 0]
    return result
