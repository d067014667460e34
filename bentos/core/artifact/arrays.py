"""Arrays in one file: a zip of .npy members, as numpy.load reads it, with the same bytes for the same arrays.

``numpy.savez`` stamps its members with the time and ``numpy.load`` allocates whatever a header claims; here members
carry no time, and a header is believed only as far as the bytes that follow it.
"""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from bentos.core.errors import ArtifactCorrupt, ArtifactError

__all__ = ["pack_arrays", "unpack_arrays"]

_MAXIMUM_ARRAYS: Final = 256
_MAXIMUM_BYTES: Final = 1 << 30
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays as bytes.

    Raises
    ------
    ArtifactError
        An array holds Python objects, which only pickle could store.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in sorted(arrays):
            array = np.asarray(arrays[name])
            if array.dtype.hasobject:
                raise ArtifactError(f"array {name} holds Python objects; an artifact stores numbers only")
            member = io.BytesIO()
            npy.write_array(member, array if array.flags.c_contiguous else array.copy(order="C"), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.getvalue())
    return stream.getvalue()


def unpack_arrays(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Arrays from bytes, read-only.

    Parameters
    ----------
    name
        The file's name, for messages.

    Raises
    ------
    ArtifactCorrupt
        No such file, one with objects or with more than 1 GB, or a member that is not what its header says.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if len(entries) > _MAXIMUM_ARRAYS or sum(entry.file_size for entry in entries) > _MAXIMUM_BYTES:
                raise ArtifactCorrupt(f"{name} holds more than {_MAXIMUM_ARRAYS} arrays or {_MAXIMUM_BYTES:,} bytes")
            arrays = {}
            for entry in entries:
                with archive.open(entry) as stream:
                    # No more than the directory announced: a member may inflate to far more.
                    member = stream.read(entry.file_size + 1)
                arrays[entry.filename.removesuffix(".npy")] = _read_array(member, f"{name}: {entry.filename}")
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        struct.error,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise ArtifactCorrupt(f"{name} is no file of arrays: {error}") from error
    return arrays


def _read_array(member: bytes, name: str) -> NDArray[Any]:
    stream = io.BytesIO(member)
    try:
        version = npy.read_magic(stream)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, fortran, dtype = read_header(stream)
    except (ValueError, KeyError, SyntaxError, tokenize.TokenError, TypeError) as error:
        raise ArtifactCorrupt(f"{name} is no array: {error}") from error
    if dtype.hasobject or fortran or dtype.names is not None:
        raise ArtifactCorrupt(f"{name} has the dtype {dtype}: only plain numbers in C order are stored")
    data = memoryview(member)[stream.tell() :]
    if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize != len(data):
        raise ArtifactCorrupt(f"{name} says it has the shape {shape} of {dtype}, but {len(data):,} bytes follow")
    # A copy aligns the values, which start anywhere in the member.
    array: NDArray[Any] = np.frombuffer(data, dtype=dtype).reshape(shape).copy()
    array.flags.writeable = False
    return array
