"""Arrays that explain a trained model, in the layouts that bentos.core.explain reads.

The ONNX graphs are built from the same arrays, so that scores and reasons cannot come from two models.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import ConfigError
from bentos.core.explain import scale_rows

__all__ = ["float32_down", "forest_arrays", "fraud_column", "network_arrays"]

Arrays = dict[str, NDArray[Any]]


def float32_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 not above each value.

    A float32 x satisfies x <= threshold exactly if it satisfies x <= this; rounding to nearest would let rows on a
    boundary change sides.
    """
    with np.errstate(over="ignore"):
        nearest = values.astype(np.float32)
    down: NDArray[np.float32] = np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    return down


def fraud_column(classes: Any) -> int:
    """Position of the fraud class, 1 or True, among a classifier's two classes.

    Raises
    ------
    ConfigError
        The classes are not 0 and 1.
    """
    known = [int(value) for value in classes]
    if sorted(known) != [0, 1]:
        raise ConfigError(f"the model knows the classes {known}; train it on transactions of both, 0 and 1")
    return known.index(1)


def forest_arrays(forest: Any) -> Arrays:
    """Arrays of a fitted forest of sklearn's trees, as ``bentos.core.explain.TREE_ARRAYS`` describes.

    Raises
    ------
    ConfigError
        Not two classes, or a node that no training row reaches.
    """
    column = fraud_column(forest.classes_)
    trees = [_tree_arrays(estimator.tree_, column) for estimator in forest.estimators_]
    arrays: Arrays = {name: np.concatenate([tree[name] for tree in trees]) for name in trees[0]}
    sizes = [len(tree["right"]) for tree in trees]
    arrays["offsets"] = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return arrays


def _tree_arrays(tree: Any, column: int) -> Arrays:
    left, right = tree.children_left, tree.children_right
    order = _preorder(left, right)
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    leaf = right[order] < 0
    cover = tree.weighted_n_node_samples[order]
    if not (cover > 0).all():
        raise ConfigError("a node of the forest has no weighted training rows; give every row a positive weight")
    counts = tree.value[order, 0, :]
    return {
        "right": np.where(leaf, -1, place[np.where(leaf, 0, right[order])]).astype(np.int32),
        "feature": np.where(leaf, -1, tree.feature[order]).astype(np.int16),
        "threshold": np.where(leaf, np.float32(0), float32_down(tree.threshold[order])).astype(np.float32),
        "cover": cover.astype(np.float64),
        "value": (counts[:, column] / counts.sum(axis=1)).astype(np.float64),
    }


def _preorder(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.int64]:
    """Nodes in preorder; sklearn's own order differs when the number of leaves is limited."""
    order = np.empty(len(left), dtype=np.int64)
    lefts, rights = left.tolist(), right.tolist()
    waiting = [0]
    for position in range(len(order)):
        node = waiting.pop()
        order[position] = node
        if lefts[node] >= 0:
            waiting += (rights[node], lefts[node])
    return order


def network_arrays(scaler: Any, layers: Any, column: int, rows: NDArray[np.float32]) -> Arrays:
    """Arrays of a trained network, as ``bentos.core.explain.NETWORK_ARRAYS`` describes.

    Parameters
    ----------
    scaler
        Fitted ElementwiseScaler.
    layers
        ``torch.nn.Sequential`` of Linear, BatchNorm1d, ReLU and Dropout that ends with two logits.
    column
        Which of them is fraud's.
    rows
        [m, features] raw background rows.

    Raises
    ------
    ConfigError
        A layer of another kind.
    """
    log = np.asarray(scaler.log_, dtype=np.bool_)
    mean, scale = np.asarray(scaler.mean_, dtype=np.float64), np.asarray(scaler.scale_, dtype=np.float64)
    clip = np.asarray(float(scaler.clip), dtype=np.float64)
    arrays: Arrays = {"log": log, "mean": mean, "scale": scale, "clip": clip}
    arrays["background"] = scale_rows(rows, log, mean, scale, float(clip))
    for index, (weight, bias) in enumerate(_affine_layers(layers, column)):
        arrays[f"weight_{index}"] = np.ascontiguousarray(weight)
        arrays[f"bias_{index}"] = np.ascontiguousarray(bias)
    return arrays


Affine = tuple[NDArray[np.float64], NDArray[np.float64]]


def _affine_layers(layers: Any, column: int) -> list[Affine]:
    """Affine layers with a ReLU between each two: what stands between two ReLUs is one affine map."""
    done: list[Affine] = []
    current: Affine | None = None
    for layer in layers:
        kind = type(layer).__name__
        if kind == "Linear":
            current = _compose(current, _numbers(layer.weight), _numbers(layer.bias, layer.out_features))
        elif kind == "BatchNorm1d":
            factor = _numbers(layer.weight, layer.num_features, 1.0) / np.sqrt(_numbers(layer.running_var) + layer.eps)
            shift = _numbers(layer.bias, layer.num_features) - factor * _numbers(layer.running_mean)
            current = _compose(current, np.diag(factor), shift)
        elif kind == "ReLU" and current is not None:
            done.append(current)
            current = None
        elif kind not in ("Dropout", "Identity"):
            raise ConfigError(
                f"a network with the layer {kind} here can be trained and compared but not served; Linear, BatchNorm1d,"
                " ReLU (after one of these) and Dropout can"
            )
    if current is None or current[0].shape[0] != 2:
        raise ConfigError("a network that is served ends with a Linear layer of two logits")
    weight, bias = current
    done.append((weight[[column]] - weight[[1 - column]], bias[[column]] - bias[[1 - column]]))
    return done


def _compose(before: Affine | None, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> Affine:
    return (weight, bias) if before is None else (weight @ before[0], weight @ before[1] + bias)


def _numbers(tensor: Any, size: int = 0, otherwise: float = 0.0) -> NDArray[np.float64]:
    """A parameter in float64; one that the layer was made without is ``otherwise``."""
    if tensor is None:
        return np.full(size, otherwise)
    numbers: NDArray[np.float64] = tensor.detach().cpu().numpy().astype(np.float64)
    return numbers
