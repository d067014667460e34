"""Piecewise-linear encoding of features: each is cut into pieces, and the network sees how far into each a value is.

Fraud rules are steps ("above 220", "half of this merchant's transactions"), which a small network learns from smooth
inputs late or never (Gorishniy, Rubachev, Babenko, "On embeddings for numerical features in tabular deep learning",
NeurIPS 2022). Training uses the encoding itself; the trained network holds it as a Linear layer and a ReLU, since a
piece is the difference of two hinges, so that export and explanation see nothing but affine layers and ReLUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import block_diag
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from training.models.config import NetworkParameters

__all__ = ["Edges", "PiecewiseEncoder", "encoder_edges", "linear", "quantile_edges", "tree_edges"]

#: Per feature the ascending borders of its pieces, in scaled units; fewer than two leave it out.
Edges = tuple[tuple[float, ...], ...]

#: Pieces thinner than this, in standard deviations, are joined: a network's weights could not resolve them.
_THINNEST: Final = 5e-3
#: Largest factor by which a rarely used piece is stretched.
_STRETCH: Final = 8.0


def quantile_edges(rows: NDArray[np.float32], bins: int) -> Edges:
    """Borders with equally many rows between them."""
    return tuple(_apart(np.quantile(column, np.linspace(0, 1, bins + 1))) for column in rows.T)


def tree_edges(rows: NDArray[np.float32], labels: NDArray[np.int64], bins: int, seed: int) -> Edges:
    """Borders where a decision tree on that feature alone splits."""
    found = []
    smallest = max(1, min(20, len(rows) // (4 * bins)))
    for column in rows.T:
        tree = DecisionTreeClassifier(max_leaf_nodes=max(2, bins), min_samples_leaf=smallest, random_state=seed)
        tree.fit(column[:, None], labels)
        splits = tree.tree_.threshold[tree.tree_.feature >= 0]
        found.append(_apart(np.concatenate([[column.min(), column.max()], splits])))
    return tuple(found)


def encoder_edges(
    rows: NDArray[np.float32],
    labels: NDArray[np.int64],
    own: NetworkParameters,
    knots: dict[int, list[float]],
    seed: int,
) -> Edges:
    """Borders for every feature: the knots that are given, else as many pieces as the configuration asks for.

    Parameters
    ----------
    rows, labels
        Scaled training rows [n, features] and 0 or 1 [n].
    knots
        By column, in scaled units.
    """
    found: Edges = tuple(() for _ in rows.T)
    if own.bins:
        found = tree_edges(rows, labels, own.bins, seed) if own.edges == "tree" else quantile_edges(rows, own.bins)
    return tuple(tuple(knots.get(place, edges)) for place, edges in enumerate(found))


def _apart(values: NDArray[np.floating]) -> tuple[float, ...]:
    kept: list[float] = []
    for value in np.unique(values.astype(np.float64)):
        if not kept or value - kept[-1] >= _THINNEST:
            kept.append(float(value))
    return tuple(kept)


class PiecewiseEncoder(nn.Module):
    """Scaled rows [n, features] to [n, features + pieces]: the features, then the share of each piece below the value.

    Parameters
    ----------
    edges
        Borders of the pieces.
    clip
        Bound of the scaled features.
    rows
        Training rows, to bring all columns to one scale.
    gain
        Factor per feature on all its columns, [features].
    """

    def __init__(self, edges: Edges, clip: float, rows: NDArray[np.float32], gain: NDArray[np.float64]) -> None:
        super().__init__()
        self.features = len(edges)
        self.clip = clip
        pieces = [(i, low, high) for i, cuts in enumerate(edges) for low, high in pairwise(cuts)]
        self.register_buffer("column", torch.tensor([piece[0] for piece in pieces], dtype=torch.int64))
        self.register_buffer("low", torch.tensor([piece[1] for piece in pieces], dtype=torch.float32))
        self.register_buffer("high", torch.tensor([piece[2] for piece in pieces], dtype=torch.float32))
        width = self.features + len(pieces)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        with torch.no_grad():
            encoded = self(torch.from_numpy(rows)).double()
        deviation = encoded.std(dim=0, correction=0).clamp(min=1 / _STRETCH)
        factor = torch.from_numpy(gain[[*range(self.features), *(piece[0] for piece in pieces)]])
        self.get_buffer("mean").copy_(encoded.mean(dim=0))
        self.get_buffer("scale").copy_(deviation / factor)

    @property
    def width(self) -> int:
        """Columns that come out."""
        return self.features + len(self.get_buffer("column"))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Encode float32 [n, features]."""
        low, high = self.get_buffer("low"), self.get_buffer("high")
        pieces = ((rows[:, self.get_buffer("column")] - low) / (high - low)).clamp(0.0, 1.0)
        encoded = torch.cat([rows, pieces], dim=1)
        result: torch.Tensor = (encoded - self.get_buffer("mean")) / self.get_buffer("scale")
        return result

    def folded(self) -> tuple[nn.Linear, nn.Linear]:
        """Linear layers that equal this encoding with a ReLU between them.

        A feature is relu(x + clip) − clip, as it lies in [−clip, clip]; a piece from a to b is
        (relu(x − a) − relu(x − b)) / (b − a).
        """
        column, low, high = (self.get_buffer(name).tolist() for name in ("column", "low", "high"))
        hinges = {(i, -self.clip): i for i in range(self.features)}
        for i, a, b in zip(column, low, high, strict=True):
            hinges.setdefault((i, a), len(hinges))
            hinges.setdefault((i, b), len(hinges))
        first = np.zeros((len(hinges), self.features))
        for (i, _), place in hinges.items():
            first[place, i] = 1.0
        borders = np.array([edge for _, edge in hinges])
        mix = np.zeros((self.width, len(hinges)))
        mix[: self.features, : self.features] = np.eye(self.features)
        for piece, (i, a, b) in enumerate(zip(column, low, high, strict=True)):
            mix[self.features + piece, hinges[i, a]] += 1.0 / (b - a)
            mix[self.features + piece, hinges[i, b]] -= 1.0 / (b - a)
        offset = np.where(np.arange(self.width) < self.features, -self.clip, 0.0)
        mean, scale = (self.get_buffer(name).double().numpy() for name in ("mean", "scale"))
        return linear(first, -borders), linear(mix / scale[:, None], (offset - mean) / scale)


def linear(weight: NDArray[np.float64], bias: NDArray[np.float64]) -> nn.Linear:
    """A layer with these weights, [outputs, inputs] and [outputs]."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def composed(before: nn.Linear, after: nn.Module) -> nn.Linear:
    """One layer in place of two that have nothing between them."""
    if not isinstance(after, nn.Linear):
        raise TypeError(f"a {type(after).__name__} follows where a Linear is needed")
    weight, bias = _arrays(after)
    inner, offset = _arrays(before)
    return linear(weight @ inner, bias + weight @ offset)


def merged_heads(heads: Sequence[nn.Sequential]) -> nn.Sequential:
    """One network that gives the mean of the logits of networks of the same build: they lie beside each other in it."""
    if len(heads) == 1:
        return heads[0]
    merged: list[nn.Module] = []
    last = len(heads[0]) - 1
    for place, layers in enumerate(zip(*heads, strict=True)):
        if isinstance(layers[0], nn.Linear):
            weights, biases = zip(*(_arrays(layer) for layer in layers), strict=True)
            if place == 0:
                merged.append(linear(np.concatenate(weights), np.concatenate(biases)))
            elif place < last:
                merged.append(linear(block_diag(*weights), np.concatenate(biases)))
            if place == last:
                before = block_diag(*weights) if place else np.concatenate(weights)
                mean = np.tile(np.eye(len(biases[0])), len(heads)) / len(heads)
                merged[place:] = [linear(mean @ before, mean @ np.concatenate(biases))]
        elif isinstance(layers[0], nn.BatchNorm1d):
            merged.append(_beside(layers))
        else:
            merged.append(layers[0])
    return nn.Sequential(*merged)


def _beside(norms: Sequence[nn.Module]) -> nn.BatchNorm1d:
    states = [norm.state_dict() for norm in norms]
    result = nn.BatchNorm1d(sum(len(state["weight"]) for state in states))
    joined = {name: torch.cat([state[name] for state in states]) for name in states[0] if states[0][name].ndim}
    result.load_state_dict(result.state_dict() | joined)
    return result


def _arrays(layer: nn.Module) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not isinstance(layer, nn.Linear):
        raise TypeError(f"a {type(layer).__name__} stands where a Linear is needed")
    return layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
