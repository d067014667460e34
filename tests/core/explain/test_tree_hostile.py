"""Arrays from a hostile artifact raise; they never crash the compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from bentos.core.errors import ArtifactCorrupt, ArtifactIncompatible
from bentos.core.explain import TREE_ARRAYS, TreeExplainer, load_explainer
from bentos.core.explain import _tree_kernel as kernel
from tests.core.explain.forests import FEATURES, chain, data, forest
from training.export.explainer_arrays import forest_arrays

ROWS = data(20, 3)[0]
ARRAYS = forest_arrays(forest(200, n_estimators=3, max_depth=4))
FIRST_LEAF = int(np.flatnonzero(ARRAYS["right"] < 0)[0])


def changed(name: str, place: Any, value: Any) -> dict[str, NDArray[Any]]:
    array = ARRAYS[name].copy()
    array[place] = value
    return {**ARRAYS, name: array}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (changed("right", 0, 10**9), "right child out of range"),
        (changed("right", 0, 1), "right child out of range"),
        (changed("right", 0, 0), "right child out of range"),
        (changed("right", 0, ARRAYS["right"][0] + 1), "preorder|sum of its|no parent|missing"),
        (changed("right", 0, -1), "nodes that no parent has"),
        (changed("right", FIRST_LEAF, 2), "out of range|preorder|missing|sum of its"),
        (changed("right", slice(None), -1), "nodes that no parent has"),
        (changed("feature", 0, 21), "feature out of range"),
        (changed("feature", 0, -1), "feature out of range"),
        (changed("feature", 0, 32767), "feature out of range"),
        (changed("threshold", 0, np.nan), "threshold that is not finite"),
        (changed("threshold", 0, np.inf), "threshold that is not finite"),
        (changed("cover", 0, 0.0), "not positive"),
        (changed("cover", 1, -1.0), "not positive|sum of its"),
        (changed("cover", 0, np.nan), "not positive"),
        (changed("cover", FIRST_LEAF, 1e-320), "out of proportion|sum of its"),
        (changed("cover", 0, 1e9), "sum of its"),
        (changed("value", FIRST_LEAF, np.inf), "value that is not finite"),
        (changed("offsets", 0, 1), "offsets"),
        (changed("offsets", 0, -1), "offsets"),
        (changed("offsets", -1, 10**12), "offsets"),
        (changed("offsets", 1, ARRAYS["offsets"][2]), "offsets"),
        (changed("offsets", 1, ARRAYS["offsets"][1] + 1), "tree 0"),
        ({**ARRAYS, "offsets": np.array([0], dtype=np.int64)}, "two entries"),
        ({**ARRAYS, "offsets": np.array([], dtype=np.int64)}, "two entries"),
        ({**ARRAYS, "value": ARRAYS["value"][:-1]}, "differ in length"),
        ({**ARRAYS, "value": ARRAYS["value"].astype(np.float32)}, "value is float32"),
        ({**ARRAYS, "right": ARRAYS["right"].astype(np.int64)}, "right is int64"),
        ({**ARRAYS, "cover": ARRAYS["cover"].astype(">f8")}, "cover is >f8"),
        ({**ARRAYS, "cover": ARRAYS["cover"].reshape(1, -1)}, "2 dimensions"),
        ({name: array for name, array in ARRAYS.items() if name != "cover"}, "needed are"),
        ({**ARRAYS, "extra": np.zeros(1)}, "extra"),
        (chain(4200), "a depth over 4,096"),
    ],
)
def test_a_wrong_array_is_named(arrays: dict[str, NDArray[Any]], message: str) -> None:
    with pytest.raises(ArtifactCorrupt, match=message):
        load_explainer("forest", arrays)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_changed_arrays_raise_or_explain(draw: st.DataObject) -> None:
    arrays = {name: array.copy() for name, array in ARRAYS.items()}
    for _ in range(draw.draw(st.integers(1, 3))):
        name = draw.draw(st.sampled_from(sorted(arrays)))
        octets = arrays[name].view(np.uint8)
        octets[draw.draw(st.integers(0, len(octets) - 1))] = draw.draw(st.integers(0, 255))
    use(arrays)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 12), st.data())
def test_random_arrays_raise_or_explain(nodes: int, draw: st.DataObject) -> None:
    elements = {
        "right": st.integers(-1, nodes),
        "feature": st.integers(-1, 21),
        "threshold": st.just(0.5),
        "cover": st.sampled_from([1.0, 2.0, 4.0]),
        "value": st.just(0.5),
        "offsets": st.integers(0, nodes),
    }
    arrays = {
        name: draw.draw(
            npst.arrays(dtype, 3 if name == "offsets" else nodes, elements=elements[name], fill=st.nothing())
        )
        for name, dtype in TREE_ARRAYS.items()
    }
    use(arrays)


def use(arrays: dict[str, NDArray[Any]]) -> None:
    try:
        explainer = TreeExplainer(arrays, FEATURES)
    except ArtifactCorrupt as error:
        assert "explainer.npz" in str(error)  # noqa: PT017 - some changes leave a forest
        return
    for count in (1, 20):
        assert explainer.contributions(ROWS[:count]).shape == (count, FEATURES)


def test_the_kernel_checks_its_own_buffers() -> None:
    compiled = TreeExplainer(ARRAYS, FEATURES)._forest
    out = np.empty((20, FEATURES))
    with pytest.raises(ValueError, match="same multiple of 21"):
        compiled.contributions(ROWS[:19], out)
    with pytest.raises(ValueError, match="same multiple of 21"):
        compiled.contributions(ROWS[:, :20].copy(), np.empty((20, 20)))
    with pytest.raises(TypeError, match="rows has items of format 'd'"):
        compiled.contributions(ROWS.astype(np.float64), out)
    with pytest.raises((ValueError, BufferError)):
        compiled.contributions(np.asfortranarray(ROWS), out)
    out.flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        compiled.contributions(ROWS, out)
    with pytest.raises(TypeError):
        compiled.contributions("rows", "out")  # type: ignore[arg-type]


def test_the_kernel_checks_its_quadrature() -> None:
    ordered = [ARRAYS[name] for name in TREE_ARRAYS]
    short = np.array([0.5])
    with pytest.raises(ValueError, match="too few quadrature points"):
        kernel.Forest(*ordered, FEATURES, short, short)
    with pytest.raises(ValueError, match=r"lie in \(0, 1\)"):
        kernel.Forest(*ordered, FEATURES, np.ones(600), np.ones(600))
    with pytest.raises(ValueError, match="65 features"):
        kernel.Forest(*ordered, 65, short, short)
    with pytest.raises(TypeError):
        kernel.Forest()  # type: ignore[call-arg]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ArtifactIncompatible, match="forest and network"):
        load_explainer("boosting", ARRAYS)
