"""A model's ONNX graph: raw score, calibrated score, all in float64 behind a float32 input.

In float64 the sum over a forest's trees and the layers' products equal the trained model's to rounding, and a row's
score does not depend on the rows that are scored beside it; measured, it costs nothing over float32.
"""

from __future__ import annotations

from typing import Any, Final

import onnx
from onnx import TensorProto, helper

__all__ = ["INPUT", "RAW_SCORE", "SCORE", "WIDE", "model_bytes"]

INPUT: Final = "features"
WIDE: Final = "features_float64"
RAW_SCORE: Final = "raw_score"
SCORE: Final = "score"

_OPSETS: Final = {"": 21, "ai.onnx.ml": 5}
_IR_VERSION: Final = 10


def model_bytes(nodes: list[Any], initializers: list[Any], features: int) -> bytes:
    """A checked model, the same bytes for the same nodes.

    Parameters
    ----------
    nodes
        From ``features_float64`` [n, features] to ``raw_score`` and ``score`` [n].
    """
    graph = helper.make_graph(
        [helper.make_node("Cast", [INPUT], [WIDE], to=TensorProto.DOUBLE), *nodes],
        "fraud",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", features])],
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows"]) for name in (RAW_SCORE, SCORE)],
        initializer=initializers,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()],
        ir_version=_IR_VERSION,
        producer_name="fraud-platform",
    )
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
