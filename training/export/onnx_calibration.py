"""Calibration as ONNX: from the raw score to the probability of fraud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper, numpy_helper

from bentos.core.errors import ConfigError
from training.export.graph import RAW_SCORE, SCORE

if TYPE_CHECKING:
    from training.models.calibration import Calibration

__all__ = ["calibration_nodes"]


def calibration_nodes(calibration: Calibration) -> tuple[list[Any], list[Any]]:
    """Nodes from ``raw_score`` to ``score`` = sigmoid(slope z + intercept), and their initializers.

    z is the raw score itself, or for a probability p the logit of shrink + (1 - 2 shrink) p.

    Raises
    ------
    ConfigError
        A slope that is not positive, which would turn the order of the scores round, or another kind of input.
    """
    if not calibration.slope > 0:
        raise ConfigError(f"the calibration's slope is {calibration.slope}; it must be positive, train the model again")
    constants = {"slope": calibration.slope, "intercept": calibration.intercept}
    if calibration.input == "logit":
        nodes, z = [], RAW_SCORE
    elif calibration.input == "probability":
        constants |= {"shrink": calibration.shrink, "shrunk": 1.0 - 2.0 * calibration.shrink, "certain": 1.0}
        nodes = [
            helper.make_node("Mul", [RAW_SCORE, "shrunk"], ["narrowed"]),
            helper.make_node("Add", ["narrowed", "shrink"], ["probability"]),
            helper.make_node("Sub", ["certain", "probability"], ["complement"]),
            helper.make_node("Div", ["probability", "complement"], ["odds"]),
            helper.make_node("Log", ["odds"], ["logit"]),
        ]
        z = "logit"
    else:
        raise ConfigError(f"the calibration takes {calibration.input!r}; known are probability and logit")
    nodes += [
        helper.make_node("Mul", [z, "slope"], ["stretched"]),
        helper.make_node("Add", ["stretched", "intercept"], ["calibrated"]),
        helper.make_node("Sigmoid", ["calibrated"], [SCORE]),
    ]
    return nodes, [
        numpy_helper.from_array(np.array(value, dtype=np.float64), name) for name, value in constants.items()
    ]
