"""Contributions of features to a raw score, and the reasons made of them.

``tree`` explains forests (its kernel in C beside it), ``network`` explains networks, ``reasons`` puts the largest
contributions into words.
"""

from bentos.core.explain.explainer import Explainer, load_explainer
from bentos.core.explain.network import NETWORK_ARRAYS, NetworkExplainer, scale_rows
from bentos.core.explain.reasons import Reason, top_reasons
from bentos.core.explain.tree import TREE_ARRAYS, TreeExplainer

__all__ = [
    "NETWORK_ARRAYS",
    "TREE_ARRAYS",
    "Explainer",
    "NetworkExplainer",
    "Reason",
    "TreeExplainer",
    "load_explainer",
    "scale_rows",
    "top_reasons",
]
