"""Metric values that the workers of a server share through files.

prometheus_client has this ("multiprocess mode"), with files named by process ids and a lock, a process id and a packing
for each increment. Two things differ here, the files' format and their merging do not:

- A file belongs to a slot. A worker takes the first slot that nobody holds, so the successor of one that died goes on
  with its counts: nothing is lost, and there are as many files as there ever were workers at once. The kernel gives a
  slot free when its process ends, however it ends.
- An increment is one addition in mapped memory, a tenth of the time. It takes no lock: a value belongs to one thread,
  the event loop's.

This module is the only one that knows the insides of prometheus_client's files.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from prometheus_client import values
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from bentos.core.files import lock_file

__all__ = ["MergedValues", "Slot", "share_values"]


class Slot:
    """The first slot of a folder that no process holds; this one's until it ends.

    Parameters
    ----------
    folder
        Of the shared files. Made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.number, self._lock = next(
            (number, lock) for number in count() if (lock := lock_file(_lock_file(folder, number))) is not None
        )
        # A gauge tells what is now; what a predecessor left is past.
        for file in folder.glob(f"gauge_*_{self.number}.db"):
            file.unlink(missing_ok=True)
        self._files: dict[str, MmapedDict] = {}

    def close(self) -> None:
        """Give the slot to others."""
        self._lock.close()

    def cell(self, kind: str, key: str) -> tuple[memoryview[float], int]:
        """Where the value of a key lies: float64 in mapped memory, and its index.

        Parameters
        ----------
        kind
            First part of the file's name.
        key
            As prometheus_client writes it.
        """
        file = self._files.get(kind)
        if file is None:
            path = str(self.folder / f"{kind}_{self.number}.db")
            file = self._files[kind] = MmapedDict(path)  # type: ignore[no-untyped-call]
        file.read_value(key)  # type: ignore[no-untyped-call] # makes the room
        # A file that outgrows its map is mapped anew; the kernel keeps both maps the same.
        position: int = file._positions[key]
        return memoryview(file._m).cast("d"), position // 8


class _SharedValue:
    """What prometheus_client calls a value."""

    _multiprocess: ClassVar[bool] = True
    _slot: ClassVar[Slot]

    __slots__ = ("_cells", "_index")

    def __init__(
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: Iterable[str],
        labelvalues: Iterable[str],
        help_text: str,
        multiprocess_mode: str = "",
        **_: Any,
    ) -> None:
        kind = f"{typ}_{multiprocess_mode}" if typ == "gauge" else typ
        key = mmap_key(metric_name, name, list(labelnames), list(labelvalues), help_text)
        self._cells, self._index = self._slot.cell(kind, key)

    def inc(self, amount: float) -> None:
        self._cells[self._index] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        del timestamp  # the files have room for it; of the modes used here none reads it
        self._cells[self._index] = value

    def get(self) -> float:
        value: float = self._cells[self._index]
        return value

    def set_exemplar(self, exemplar: object) -> None:
        del exemplar  # the files have no room for it

    def get_exemplar(self) -> None:
        return None


def share_values(folder: Path) -> None:
    """Keep what this process counts from now on in files of a folder. For metrics that are declared later."""
    slot = Slot(folder)
    values.ValueClass = type("SharedValue", (_SharedValue,), {"_slot": slot, "__slots__": ()})


class MergedValues(Collector):
    """The values of all processes of a folder, those that ended included; gauges only of those that live.

    Parameters
    ----------
    folder
        Of the shared files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """All metrics, added up."""
        files = [str(file) for file in self._folder.glob("*.db") if self._counts(file)]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return merged

    def _counts(self, file: Path) -> bool:
        with contextlib.suppress(FileNotFoundError):
            # A worker that starts makes its files, then fills them.
            if not file.stat().st_size:
                return False
            return not file.name.startswith("gauge") or _held(self._folder, int(file.stem.rpartition("_")[2]))
        return False


def _lock_file(folder: Path, number: int) -> Path:
    return folder / f"worker_{number}.lock"


def _held(folder: Path, number: int) -> bool:
    # Asked with a shared lock, so that two who ask at once do not take each other for the holder.
    with _lock_file(folder, number).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
