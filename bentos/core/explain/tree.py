"""Exact contributions of the features to a forest's probability, for many rows a millisecond.

The values are the path-dependent TreeSHAP values of Lundberg et al., "From local explanations to global understanding
with explainable AI for trees", Nature Machine Intelligence 2 (2020), as ``shap.TreeExplainer`` gives them without
background data. A leaf of value v contributes to the features on its path alone. With the share of cover z_i that
follows the edges of feature i, and o_i = 1 if the row satisfies all of them, else 0, it gives feature i

    v (o_i - z_i) sum over subsets S of the others of |S|! (d - |S| - 1)! / d! prod_{j in S} o_j prod_{j not in S} z_j
    = v (o_i - z_i) integral over t in (0, 1) of prod_{j != i} (z_j (1 - t) + o_j t) dt,

because the Shapley weight is the Beta integral of t^|S| (1 - t)^(d - |S| - 1) (the multilinear extension of Owen,
"Multilinear extensions of games", Management Science 18 (1972)). The integrand is a polynomial of degree d - 1 in t,
so Gauss-Legendre quadrature with n = ceil(d / 2) points is exact. d counts the *different* features on a path, so 21
features never need more than 11 points, however deep the tree.

Dividing by z (as Yu et al., "Linear TreeSHAP", NeurIPS 2022, do with polynomials) leaves one number per edge,
q = o / z, and one constant per leaf, v times its share of cover. With f(q) = (1 - t) + q t the products run down the
tree at every point, the sums run up, and an edge adds sum_k w_k ((q - 1) / f(q) - (q' - 1) / f(q')) S_k to its
feature, where q' is the same feature's earlier edge on the path (1 if there is none). Memory is one node record of
32 bytes, and while a call runs one level of scratch per level of the deepest tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import ArtifactCorrupt, ConfigError
from bentos.core.explain._arrays import checked_rows, require
from bentos.core.explain._pieces import in_pieces

__all__ = ["TREE_ARRAYS", "TreeExplainer"]

#: Arrays of a forest's explainer: name to dtype. All but ``offsets`` [trees + 1] have one entry per node, nodes of
#: all trees one after another, each tree in preorder: a left child follows its parent.
#: ``right`` is the right child's index within its tree, -1 at a leaf; rows with ``x[feature] <= threshold`` go left;
#: ``cover`` is the weighted number of training rows; ``value`` the share of fraud among them.
TREE_ARRAYS: Final[dict[str, str]] = {
    "offsets": "int64",
    "right": "int32",
    "feature": "int16",
    "threshold": "float32",
    "cover": "float64",
    "value": "float64",
}

#: Rows that a thread explains at a time: a few milliseconds, and a multiple of the kernel's block of 16.
_PIECE_ROWS: Final = 64


def _quadrature(points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss-Legendre rules on (0, 1) of 1 to ``points`` points, packed one after another: positions, weights."""
    rules = [np.polynomial.legendre.leggauss(n) for n in range(1, points + 1)]
    return np.concatenate([(t + 1) / 2 for t, _ in rules]), np.concatenate([w / 2 for _, w in rules])


class TreeExplainer:
    """Contributions of a forest of trees whose raw score is the mean of their leaves' values.

    Parameters
    ----------
    arrays
        As :data:`TREE_ARRAYS` describes.
    features
        Number of columns of a row, at most 64.
    threads
        Threads of one call, from two pieces of 64 rows on. A smaller call is over before another thread has woken up.

    Raises
    ------
    ArtifactCorrupt
        The arrays are not such a forest: wrong shapes, dtypes, indices, covers.
    ConfigError
        The compiled kernel is missing.

    Notes
    -----
    Calls share nothing that changes and run without the GIL: one explainer serves any number of threads.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], features: int, *, threads: int = 1) -> None:
        try:
            from bentos.core.explain import _tree_kernel  # here, so that the package can be imported without it
        except ImportError as error:
            raise ConfigError(
                "the compiled kernel bentos.core.explain._tree_kernel cannot be loaded; it is built when the package is"
                f" installed (pip install . with a C compiler present): {error}"
            ) from error
        require(arrays, {name: (dtype, 1) for name, dtype in TREE_ARRAYS.items()})
        ready = {name: np.ascontiguousarray(arrays[name]) for name in TREE_ARRAYS}
        points, weights = _quadrature((features + 1) // 2)  # no path holds more than all features
        try:
            self._forest = _tree_kernel.Forest(
                ready["offsets"],
                ready["right"],
                ready["feature"],
                ready["threshold"],
                ready["cover"],
                ready["value"],
                features,
                points,
                weights,
            )
        except (ValueError, TypeError) as error:
            raise ArtifactCorrupt(f"explainer.npz is no forest: {error}") from error
        self._features = features
        self._threads = threads
        self.base_value: float = self._forest.base_value

    @property
    def nbytes(self) -> int:
        """Bytes held between calls."""
        return int(self._forest.nbytes)

    @property
    def scratch_nbytes(self) -> int:
        """Bytes that one running call needs besides its rows and results."""
        return int(self._forest.scratch_nbytes)

    def contributions(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Contributions to the probability of fraud.

        Parameters
        ----------
        rows
            [n, features], cast to float32 as the model does.

        Returns
        -------
        float64 [n, features]; ``base_value`` plus a row's sum is the forest's probability.

        Raises
        ------
        InvalidInput
            Another number of columns.
        """
        given = checked_rows(rows, self._features)
        out = np.empty(given.shape, dtype=np.float64)
        in_pieces(
            lambda piece: self._forest.contributions(given[piece], out[piece]), len(given), _PIECE_ROWS, self._threads
        )
        return out
