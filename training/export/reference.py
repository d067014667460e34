"""What shap says of a trained model: the reference that exported contributions are compared with."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["shap_of_forest", "shap_of_network"]


def _shap() -> Any:
    # Its colour maps use a call of matplotlib's that is to be deprecated.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        import shap
    return shap


def shap_of_forest(forest: Any, rows: NDArray[np.float32], column: int) -> NDArray[np.float64]:
    """``shap.TreeExplainer`` values of the probability of fraud, [n, features]."""
    values = _shap().TreeExplainer(forest).shap_values(rows, check_additivity=True)
    result: NDArray[np.float64] = np.asarray(values, dtype=np.float64)[..., column]
    return result


def shap_of_network(
    layers: Any, background: NDArray[np.float64], scaled: NDArray[np.float64], column: int
) -> NDArray[np.float64]:
    """``shap.DeepExplainer`` values of the logit difference, [n, features], with the network in float64.

    Parameters
    ----------
    layers
        The trained ``torch.nn.Sequential``, left as it is.
    background, scaled
        [m, features] and [n, features] as the first layer sees them.
    """
    import torch

    network = copy.deepcopy(layers).double().eval()
    # torch's complaint about hooks and inputs without gradients concerns shap's own code.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explainer = _shap().DeepExplainer(network, torch.from_numpy(background))
        values = np.asarray(explainer.shap_values(torch.from_numpy(scaled), check_additivity=False))
    result: NDArray[np.float64] = values[..., column] - values[..., 1 - column]
    return result
