"""Contributions of the features to a network's logit difference, without the library it was trained with.

DeepLIFT with the rescale rule (Shrikumar, Greenside, Kundaje, "Learning important features through propagating
activation differences", ICML 2017), averaged over background rows as in ``shap.DeepExplainer`` (Lundberg & Lee,
NeurIPS 2017): at every ReLU the gradient is replaced by the ratio of the change of its output to the change of its
input against a background row. Where the input changes by less than 1e-6 the ratio says nothing, and the derivative
at the background row is taken, as shap's PyTorch implementation does.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import ArtifactCorrupt
from bentos.core.explain._arrays import checked_rows, require
from bentos.core.explain._pieces import in_pieces

__all__ = ["NETWORK_ARRAYS", "NetworkExplainer", "scale_rows"]

#: Arrays of a network's explainer: name to (dtype, dimensions). ``log`` marks the features that are scaled as
#: sign(x) log(1 + |x|) before ``mean`` and ``scale``; ``clip`` bounds the result; ``background`` [rows, features] is
#: already scaled. Then ``weight_<i>`` [outputs, inputs] and ``bias_<i>`` per layer, a ReLU between layers; the last
#: has one output, the logit of fraud minus the other.
NETWORK_ARRAYS: Final[dict[str, tuple[str, int]]] = {
    "log": ("bool", 1),
    "mean": ("float64", 1),
    "scale": ("float64", 1),
    "clip": ("float64", 0),
    "background": ("float64", 2),
}

_NEAR_ZERO: Final = 1e-6
_MAXIMUM_LAYERS: Final = 64
_MAXIMUM_BACKGROUND: Final = 4096
#: Doubles of one array of scratch: two rows of the default network. A few such arrays stay in a core's cache.
_BLOCK_VALUES: Final = 50_000

Floats = NDArray[np.float64]


def scale_rows(rows: NDArray[Any], log: NDArray[np.bool_], mean: Floats, scale: Floats, clip: float) -> Floats:
    """Rows as the network's first layer sees them, each column on its own, in float64 [n, features]."""
    values = rows.astype(np.float64)
    values = np.where(log, np.sign(values) * np.log1p(np.abs(values)), values)
    return np.clip((values - mean) / scale, -clip, clip)


class NetworkExplainer:
    """Contributions of a network of affine layers and ReLUs behind an elementwise scaler.

    Parameters
    ----------
    arrays
        As :data:`NETWORK_ARRAYS` describes.
    features
        Number of columns of a row.
    threads
        Threads of one call with more rows than fit the cache at once.

    Raises
    ------
    ArtifactCorrupt
        The arrays are not such a network.

    Notes
    -----
    The products of matrices are numpy's: its OpenBLAS has threads of its own, which go on spinning for a while after
    each call. A server with one worker a core sets ``OPENBLAS_NUM_THREADS=1``, before numpy is imported.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], features: int, *, threads: int = 1) -> None:
        layers = sum(name.startswith("weight_") for name in arrays)
        if not 1 <= layers <= _MAXIMUM_LAYERS:
            raise ArtifactCorrupt(f"explainer.npz has {layers} layers, allowed are 1 to {_MAXIMUM_LAYERS}")
        expected = dict(NETWORK_ARRAYS)
        for layer in range(layers):
            expected[f"weight_{layer}"] = ("float64", 2)
            expected[f"bias_{layer}"] = ("float64", 1)
        require(arrays, expected)
        self._features = features
        self._threads = threads
        self._scratch = _Scratch()
        self._log, self._mean, self._scale = arrays["log"], arrays["mean"], arrays["scale"]
        self._clip = float(arrays["clip"])
        self._background: Floats = arrays["background"]
        self._weights: list[Floats] = [arrays[f"weight_{layer}"] for layer in range(layers)]
        self._biases: list[Floats] = [arrays[f"bias_{layer}"] for layer in range(layers)]
        self._check()
        self._references = self._before_relu(self._background)
        self._rectified = [np.maximum(values, 0.0) for values in self._references]
        self.base_value = float(self._references[-1].mean())

    def _check(self) -> None:
        width = self._features
        shapes = {"log": self._log, "mean": self._mean, "scale": self._scale}
        for name, array in shapes.items():
            if array.shape != (width,):
                raise ArtifactCorrupt(f"explainer.npz: {name} has the shape {array.shape}, needed is {(width,)}")
        if not np.isfinite(self._mean).all() or not (np.isfinite(self._scale) & (self._scale > 0)).all():
            raise ArtifactCorrupt("explainer.npz: mean must be finite, scale finite and positive")
        if not self._clip > 0:
            raise ArtifactCorrupt(f"explainer.npz: clip is {self._clip}, it must be positive")
        rows = len(self._background)
        if self._background.shape[1] != width or not 1 <= rows <= _MAXIMUM_BACKGROUND:
            raise ArtifactCorrupt(
                f"explainer.npz: background has the shape {self._background.shape}, needed is"
                f" [1 to {_MAXIMUM_BACKGROUND}, {width}]"
            )
        for layer, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            if weight.shape[1] != width or bias.shape != weight.shape[:1] or weight.shape[0] < 1:
                raise ArtifactCorrupt(
                    f"explainer.npz: layer {layer} has a weight of the shape {weight.shape} and a bias of {bias.shape},"
                    f" its input has {width} columns"
                )
            width = weight.shape[0]
        if width != 1:
            raise ArtifactCorrupt(
                f"explainer.npz: the last layer has {width} outputs, needed is the logit difference alone"
            )
        if not all(np.isfinite(array).all() for array in (self._background, *self._weights, *self._biases)):
            raise ArtifactCorrupt("explainer.npz: background, weights and biases must be finite")

    def _before_relu(self, scaled: Floats) -> list[Floats]:
        """Outputs of every affine layer, [n, outputs] each."""
        outputs = []
        values = scaled
        for weight, bias in zip(self._weights, self._biases, strict=True):
            outputs.append(values @ weight.T + bias)
            values = np.maximum(outputs[-1], 0.0)
        return outputs

    def contributions(self, rows: NDArray[Any]) -> Floats:
        """Contributions to the logit difference, credited to the raw features one to one.

        Parameters
        ----------
        rows
            [n, features], cast to float32 as the model does.

        Returns
        -------
        float64 [n, features]; ``base_value`` plus a row's sum is the logit difference.

        Raises
        ------
        InvalidInput
            Another number of columns.
        """
        given = checked_rows(rows, self._features)
        scaled = scale_rows(given, self._log, self._mean, self._scale, self._clip)
        widest = max(weight.shape[1] for weight in self._weights)
        step = max(1, _BLOCK_VALUES // (len(self._background) * widest))
        out = np.empty(given.shape, dtype=np.float64)

        def explain(piece: slice) -> None:
            out[piece] = self._explain(scaled[piece])

        in_pieces(explain, len(scaled), step, self._threads)
        return out

    def _explain(self, scaled: Floats) -> Floats:
        outputs = self._before_relu(scaled)
        rows, background = len(scaled), len(self._background)
        # [rows, background, inputs of the layer]: how much the result changes per change of the layer's input.
        multipliers = np.broadcast_to(self._weights[-1][0], (rows, background, self._weights[-1].shape[1]))
        for layer in range(len(self._weights) - 2, -1, -1):
            weight = self._weights[layer]
            slope = self._rescale(outputs[layer], layer)
            slope *= multipliers
            multipliers = self._scratch.take("multipliers", (rows, background, weight.shape[1]))
            np.matmul(slope, weight, out=multipliers)
        changes = scaled[:, None, :] - self._background
        result: Floats = np.einsum("nmf,nmf->nf", multipliers, changes) / background
        return result

    def _rescale(self, values: Floats, layer: int) -> Floats:
        """Slope of a layer's ReLU between background and row: inputs [n, width] to [n, m, width]."""
        references = self._references[layer]
        shape = (len(values), *references.shape)
        change = np.subtract(values[:, None, :], references, out=self._scratch.take("change", shape))
        slope = self._scratch.take("slope", shape)
        np.subtract(np.maximum(values, 0.0)[:, None, :], self._rectified[layer], out=slope)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope /= change
        near = np.abs(change, out=change) < _NEAR_ZERO
        if near.any():
            np.copyto(slope, references > 0.0, where=near)
        return slope


class _Scratch(threading.local):
    """Arrays that a thread uses again: the allocator would give their pages back, and faulting them in again costs
    more than what is done with them.
    """

    def take(self, name: str, shape: tuple[int, ...]) -> Floats:
        """An array for that purpose, with anything in it; the one taken before is no longer valid."""
        size = prod(shape)
        held: Floats | None = self.__dict__.get(name)
        if held is None or held.size < size:
            held = self.__dict__[name] = np.empty(size)
        return held[:size].reshape(shape)
