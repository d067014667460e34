"""The files of jobs: a folder for each, on this machine or wherever fsspec reaches.

A worker's steps read and write a folder of this machine. For local files that is the job's folder itself; for remote
ones it is a scratch folder, into which a step fetches what it needs, and from which it sends what it made.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from bentos.core.errors import Unavailable
from bentos.core.files import atomic_file, sync_folder
from bentos.fraud.jobs.model import id_time

__all__ = ["JobFiles", "LocalFiles", "Upload", "total_bytes"]

#: The uploaded input in a job's folder.
INPUT: Final = "input"


class Upload(Protocol):
    """An input that is being received."""

    def write(self, data: bytes) -> object:
        """Take the next piece."""
        ...

    def commit(self) -> None:
        """Make it durable: after this it is there whatever happens."""
        ...

    def discard(self) -> None:
        """Leave nothing behind."""
        ...


class JobFiles(Protocol):
    """Files of all jobs. Safe for use by several threads.

    Methods raise :class:`Unavailable` when the place of the files fails.
    """

    def receive(self, job_id: str) -> Upload:
        """Begin to receive a job's input."""
        ...

    def source(self, job_id: str) -> str:
        """Path or URL of a job's uploaded input."""
        ...

    def folder(self, job_id: str) -> Path:
        """Folder of this machine that a step reads and writes."""
        ...

    def fetch(self, job_id: str, names: Iterable[str] | None = None) -> None:
        """Bring files to the step's folder that are not there yet; None brings all but the uploaded input."""
        ...

    def send(self, job_id: str) -> None:
        """Bring what a step made to where others find it."""
        ...

    def put(self, job_id: str, file: Path) -> None:
        """Bring one file, made elsewhere, to where others find it."""
        ...

    def open(self, job_id: str, name: str) -> BinaryIO | None:
        """Open a file to read, also while it is being removed; None when there is none."""
        ...

    def size(self, job_id: str) -> int:
        """Bytes that a job's files take."""
        ...

    def keep(self, job_id: str, names: Iterable[str]) -> None:
        """Remove all files of a job but these."""
        ...

    def remove(self, job_id: str) -> None:
        """Remove all files of a job."""
        ...

    def leave(self, job_id: str) -> None:
        """Give back what a step's folder takes of this machine, when others have it too."""
        ...

    def names(self) -> list[str]:
        """Names of the jobs that have files."""
        ...


class LocalFiles:
    """Files below a folder of this machine, or of a network file system that all machines mount.

    Parameters
    ----------
    root
        Folder with one folder per job; made when it is missing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def receive(self, job_id: str) -> Upload:
        with _told():
            return _LocalUpload(self._root, job_id)

    def source(self, job_id: str) -> str:
        return str(self._root / job_id / INPUT)

    def folder(self, job_id: str) -> Path:
        folder = self._root / job_id
        with _told():
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def fetch(self, job_id: str, names: Iterable[str] | None = None) -> None:
        pass

    def send(self, job_id: str) -> None:
        pass

    def put(self, job_id: str, file: Path) -> None:
        with _told(), file.open("rb") as source, atomic_file(self._root / job_id / file.name) as target:
            shutil.copyfileobj(source, target)

    def open(self, job_id: str, name: str) -> BinaryIO | None:
        with _told(), contextlib.suppress(FileNotFoundError):
            return (self._root / job_id / name).open("rb")
        return None

    def size(self, job_id: str) -> int:
        return total_bytes(self._root / job_id)

    def keep(self, job_id: str, names: Iterable[str]) -> None:
        kept = set(names)
        with _told():
            for path in (self._root / job_id).iterdir():
                if path.name not in kept:
                    _remove(path)

    def remove(self, job_id: str) -> None:
        with _told():
            _remove(self._root / job_id)

    def leave(self, job_id: str) -> None:
        pass

    def names(self) -> list[str]:
        with _told():
            if not self._root.is_dir():
                return []
            return sorted(entry.name for entry in os.scandir(self._root) if id_time(entry.name) is not None)


class _LocalUpload:
    def __init__(self, root: Path, job_id: str) -> None:
        self._root = root
        self._folder = root / job_id
        self._folder.mkdir(parents=True)
        self._stream: BinaryIO = (self._folder / INPUT).open("xb")

    def write(self, data: bytes) -> None:
        with _told():
            self._stream.write(data)

    def commit(self) -> None:
        with _told():
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            sync_folder(self._folder)
            sync_folder(self._root)

    def discard(self) -> None:
        # Closing flushes, which fails again on a full disk.
        with contextlib.suppress(OSError):
            self._stream.close()
        with contextlib.suppress(OSError):
            _remove(self._folder)


def total_bytes(folder: Path) -> int:
    """Bytes of the files below a folder; of those that vanish meanwhile none."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(place) / name).stat().st_size
    return total


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"the jobs' files cannot be used at the moment: {error.strerror or error}") from error
