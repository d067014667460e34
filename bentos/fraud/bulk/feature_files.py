"""Feature rows of chunks, which come in any order and lie on disk from the start."""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np

from bentos.core.features import FEATURES
from bentos.core.features.windows import FloatArray, IntArray
from bentos.core.files import put_in_place
from bentos.fraud.bulk.chunks import features_name

__all__ = ["FeatureFiles"]

_WIDTH: Final = len(FEATURES)
#: What this process keeps of files that are not whole yet, about; the kernel keeps more while it has room.
_MAPPED_BYTES: Final = 32 * 1024**2
#: Whole files that wait for the disk.
_WAITING: Final = 2
#: Instead of the number of rows that are missing.
_LEFT: Final = -1


class FeatureFiles:
    """Takes the feature rows of a file's chunks, and leaves each chunk's when they are all there.

    Rows in order of time are mostly those of one chunk, but need not be. So a row is written where it is to lie: rows
    are copied once, and no more than a few chunks are ever in memory. To be used in a ``with`` block; when that ends
    well, all chunks have been left.

    Parameters
    ----------
    folder
        Where they are left.
    scratch
        Where they lie until then; on the same file system.
    starts
        Numbers of each chunk's first row, and of all rows last.
    bad
        int64 [k], rising; rows that have no features.

    Raises
    ------
    OSError
        In any method; such as a full disk, which is told before a row is written to it.
    """

    def __init__(self, folder: Path, scratch: Path, starts: Sequence[int], bad: IntArray) -> None:
        self._folder = folder
        self._scratch = scratch
        self._starts: Final = np.array(starts, np.int64)
        self._bad = bad
        self._missing = np.diff(self._starts) - np.diff(np.searchsorted(bad, self._starts))
        self._open: dict[int, _Mapped] = {}
        self._written = 0
        self._pool = ThreadPoolExecutor(1)
        self._leaving: deque[Future[None]] = deque()

    def put(self, places: IntArray, values: FloatArray) -> None:
        """Take rows: their numbers, int64 [n], and their features, float64 [n, 21]; each row once."""
        chunks = np.searchsorted(self._starts, places, "right") - 1
        if (chunks[1:] < chunks[:-1]).any():
            order = np.argsort(chunks, kind="stable")
            places, values, chunks = places[order], values[order], chunks[order]
        edges = [0, *(np.flatnonzero(np.diff(chunks)) + 1).tolist(), len(chunks)]
        for first, last in pairwise(edges):
            chunk = int(chunks[first])
            self._mapped(chunk).rows()[places[first:last] - self._starts[chunk]] = values[first:last]
            self._missing[chunk] -= last - first
            if not self._missing[chunk]:
                self._leave(chunk)
        self._written += values.nbytes
        if self._written > _MAPPED_BYTES:
            self._written = 0
            for mapped in self._open.values():
                mapped.forget()

    def __enter__(self) -> FeatureFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._pool:
            if kind is not None:
                return
            # Chunks of bad rows only.
            for chunk in np.flatnonzero(self._missing == 0).tolist():
                self._leave(chunk)
            while self._leaving:
                self._leaving.popleft().result()

    def _mapped(self, chunk: int) -> _Mapped:
        if chunk not in self._open:
            rows = int(self._starts[chunk + 1] - self._starts[chunk])
            self._open[chunk] = _Mapped(self._scratch / features_name(chunk), rows)
        return self._open[chunk]

    def _leave(self, chunk: int) -> None:
        mapped = self._mapped(chunk)
        first, last = np.searchsorted(self._bad, self._starts[chunk : chunk + 2])
        mapped.rows()[self._bad[first:last] - self._starts[chunk]] = np.nan
        del self._open[chunk]
        self._missing[chunk] = _LEFT
        self._leaving.append(self._pool.submit(mapped.leave, self._folder / features_name(chunk)))
        while len(self._leaving) > _WAITING:
            self._leaving.popleft().result()


class _Mapped:
    """A chunk's file of features, as :func:`numpy.save` would write it, in the making."""

    def __init__(self, path: Path, rows: int) -> None:
        self._path = path
        with path.open("w+b") as stream:
            header = {"descr": "<f8", "fortran_order": False, "shape": (rows, _WIDTH)}
            np.lib.format.write_array_header_1_0(stream, header)
            stream.flush()
            self._begin = stream.tell()
            size = self._begin + rows * _WIDTH * np.dtype(np.float64).itemsize
            # A write to a mapping that the disk has no room for would end the process.
            os.posix_fallocate(stream.fileno(), 0, size)
            self._map = mmap.mmap(stream.fileno(), size)

    def rows(self) -> FloatArray:
        """Its rows, float64 [rows, 21]; no view of them may be left when the file is."""
        return np.frombuffer(self._map, np.float64, offset=self._begin).reshape(-1, _WIDTH)

    def forget(self) -> None:
        """Keep in the file, not in this process, what was written so far."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def leave(self, path: Path) -> None:
        """Give the file its name."""
        self._map.close()
        put_in_place(self._path, path)
