"""Networks and rows to explain."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.models.preprocessing import ElementwiseScaler

FEATURES = 21


def rows_like_training(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).gamma(1.0, 30.0, size=(count, FEATURES)).astype(np.float32)


def layers(hidden: tuple[int, ...], *, norm: bool = False, seed: int = 0) -> nn.Sequential:
    """A network with random weights and, where it normalises, the statistics of random rows."""
    torch.manual_seed(seed)
    modules: list[nn.Module] = []
    width = FEATURES
    for units in hidden:
        modules += [nn.Linear(width, units), *([nn.BatchNorm1d(units)] if norm else []), nn.ReLU(), nn.Dropout(0.3)]
        width = units
    network = nn.Sequential(*modules, nn.Linear(width, 2))
    if norm:
        for _ in range(5):
            network(torch.randn(64, FEATURES))
    return network.eval()


SCALER = ElementwiseScaler().fit(rows_like_training(500))
