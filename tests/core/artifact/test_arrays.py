"""Arrays come back as they were, and hostile files do no more than raise."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.lib import format as npy

from bentos.core.artifact.arrays import pack_arrays, unpack_arrays
from bentos.core.errors import ArtifactCorrupt

DTYPES = st.sampled_from(["bool", "int16", "int32", "int64", "float32", "float64"])


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "weight_0"]), npst.arrays(DTYPES, npst.array_shapes(min_dims=0, min_side=0))
    )
)
def test_arrays_come_back(arrays: dict[str, Any]) -> None:
    back = unpack_arrays(pack_arrays(arrays), "x.npz")
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_fortran_order_comes_back_in_c_order() -> None:
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    back = unpack_arrays(pack_arrays({"x": array, "t": array.T}), "x.npz")
    np.testing.assert_array_equal(back["x"], array)
    np.testing.assert_array_equal(back["t"], array.T)


def member(header: dict[str, Any], data: bytes = b"") -> bytes:
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, header)
    return archive({"x.npy": stream.getvalue() + data})


def archive(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return stream.getvalue()


def claiming(size: int) -> bytes:
    """A member of 10 MB of zeros whose entry in the directory says another size."""
    content = bytearray(archive({"x.npy": b"\0" * 10_000_000}))
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = size.to_bytes(4, "little")
    return bytes(content)


def pickled() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=np.array([{"a": 1}], dtype=object))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no file of arrays"),
        (b"not a zip", "no file of arrays"),
        (archive({"x.npy": b"no array"}), "no array"),
        (pickled(), "only plain numbers"),
        (member({"descr": "<f8", "fortran_order": False, "shape": (10**15,)}), "0 bytes follow"),
        (member({"descr": "<f8", "fortran_order": False, "shape": (2**62, 4)}, b"\0" * 32), "32 bytes follow"),
        (member({"descr": "<f8", "fortran_order": True, "shape": (2,)}, b"\0" * 16), "only plain numbers"),
        (member({"descr": [("a", "<f8")], "fortran_order": False, "shape": (2,)}, b"\0" * 16), "only plain numbers"),
        (archive({f"{i}.npy": b"" for i in range(300)}), "more than 256"),
        (claiming((1 << 30) + 1), "more than 256 arrays or 1,073,741,824 bytes"),
        (claiming(200), "no file of arrays"),
    ],
    ids=[
        "empty",
        "text",
        "no array",
        "pickle",
        "huge",
        "overflow",
        "fortran",
        "record",
        "many",
        "announced bomb",
        "hidden bomb",
    ],
)
def test_a_hostile_file_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ArtifactCorrupt, match=message):
        unpack_arrays(content, "explainer.npz")


@settings(max_examples=200)
@given(st.data())
def test_damage_never_does_more_than_raise(data: st.DataObject) -> None:
    content = bytearray(pack_arrays({"a": np.arange(20), "b": np.ones((2, 3))}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        arrays = unpack_arrays(bytes(content), "explainer.npz")
    except ArtifactCorrupt as error:
        assert "explainer.npz" in str(error)  # noqa: PT017 - most damage is seen, some lies in unused fields
    else:
        assert all(array.nbytes < 1000 for array in arrays.values())
