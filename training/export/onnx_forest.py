"""A forest as ONNX: one TreeEnsemble node (ai.onnx.ml 5) in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from training.export.graph import RAW_SCORE, WIDE

__all__ = ["forest_nodes"]

_SUM, _NO_TRANSFORM, _LESS_OR_EQUAL = 1, 0, 0


def forest_nodes(arrays: dict[str, NDArray[Any]]) -> tuple[list[Any], list[Any]]:
    """Nodes from the rows to ``raw_score``, the mean of the trees' leaves, and their initializers.

    Parameters
    ----------
    arrays
        As ``bentos.core.explain.TREE_ARRAYS`` describes.
    """
    arrays = _with_inner_roots(arrays)
    offsets, right = arrays["offsets"], arrays["right"]
    inner = right >= 0
    # Inner nodes and leaves are numbered apart.
    number = np.where(inner, np.cumsum(inner), np.cumsum(~inner)) - 1
    nodes = np.flatnonzero(inner)
    start = np.repeat(offsets[:-1], np.diff(offsets))
    left_child, right_child = nodes + 1, start[nodes] + right[nodes]
    ensemble = helper.make_node(
        "TreeEnsemble",
        [WIDE],
        ["forest"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function=_SUM,
        post_transform=_NO_TRANSFORM,
        tree_roots=number[offsets[:-1]].tolist(),
        nodes_featureids=arrays["feature"][nodes].tolist(),
        nodes_splits=numpy_helper.from_array(arrays["threshold"][nodes].astype(np.float64)),
        nodes_modes=numpy_helper.from_array(np.full(len(nodes), _LESS_OR_EQUAL, dtype=np.uint8)),
        nodes_truenodeids=number[left_child].tolist(),
        nodes_falsenodeids=number[right_child].tolist(),
        nodes_trueleafs=(~inner[left_child]).astype(int).tolist(),
        nodes_falseleafs=(~inner[right_child]).astype(int).tolist(),
        leaf_targetids=[0] * int((~inner).sum()),
        leaf_weights=numpy_helper.from_array(arrays["value"][~inner] / (len(offsets) - 1)),
    )
    column = numpy_helper.from_array(np.array([1], dtype=np.int64), "forest_column")
    return [ensemble, helper.make_node("Squeeze", ["forest", "forest_column"], [RAW_SCORE])], [column]


def _with_inner_roots(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Give trees that are a single leaf an inner root with that leaf on both sides: ONNX roots are inner nodes."""
    offsets = arrays["offsets"]
    sizes = np.diff(offsets)
    if (sizes > 1).all():
        return arrays
    lonely = offsets[:-1][sizes == 1]
    grown = {}
    for name, root in (("right", 2), ("feature", 0), ("threshold", 0.0), ("value", 0.0)):
        leaves = arrays[name][lonely]
        replaced = arrays[name].copy()
        replaced[lonely] = root
        grown[name] = np.insert(replaced, np.repeat(lonely + 1, 2), np.repeat(leaves, 2))
    grown["offsets"] = np.concatenate([[0], np.cumsum(np.where(sizes == 1, 3, sizes))]).astype(np.int64)
    return grown
