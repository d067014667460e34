"""A network as ONNX: elementwise scaler, affine layers with ReLUs between, the logit difference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from training.export.graph import RAW_SCORE, WIDE

__all__ = ["network_nodes"]


def network_nodes(arrays: dict[str, NDArray[Any]]) -> tuple[list[Any], list[Any]]:
    """Nodes from the rows to ``raw_score``, the logit of fraud minus the other, and their initializers.

    Parameters
    ----------
    arrays
        As ``bentos.core.explain.NETWORK_ARRAYS`` describes.
    """
    constants = {
        "log": arrays["log"],
        "mean": arrays["mean"],
        "scale": arrays["scale"],
        "one": np.array(1.0),
        "lowest": -arrays["clip"],
        "highest": arrays["clip"],
        "network_column": np.array([1], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Abs", [WIDE], ["magnitude"]),
        helper.make_node("Add", ["magnitude", "one"], ["shifted"]),
        helper.make_node("Log", ["shifted"], ["logarithm"]),
        helper.make_node("Sign", [WIDE], ["sign"]),
        helper.make_node("Mul", ["sign", "logarithm"], ["compressed"]),
        helper.make_node("Where", ["log", "compressed", WIDE], ["chosen"]),
        helper.make_node("Sub", ["chosen", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "lowest", "highest"], ["input_0"]),
    ]
    layers = sum(name.startswith("weight_") for name in arrays)
    for layer in range(layers):
        constants[f"weight_{layer}"] = np.ascontiguousarray(arrays[f"weight_{layer}"].T)
        constants[f"bias_{layer}"] = arrays[f"bias_{layer}"]
        nodes.append(helper.make_node("MatMul", [f"input_{layer}", f"weight_{layer}"], [f"product_{layer}"]))
        nodes.append(helper.make_node("Add", [f"product_{layer}", f"bias_{layer}"], [f"output_{layer}"]))
        if layer < layers - 1:
            nodes.append(helper.make_node("Relu", [f"output_{layer}"], [f"input_{layer + 1}"]))
    nodes.append(helper.make_node("Squeeze", [f"output_{layers - 1}", "network_column"], [RAW_SCORE]))
    return nodes, [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
