"""Files of jobs behind any URL of fsspec, such as an S3 bucket. The one place of the jobs that imports fsspec."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

import fsspec

from bentos.core.errors import ConfigError, Unavailable
from bentos.core.files import atomic_file
from bentos.fraud.jobs.files import INPUT, LocalFiles, Upload
from bentos.fraud.jobs.model import id_time
from bentos.fraud.jobs.quick import own_folder

__all__ = ["RemoteFiles"]

_BLOCK: Final = 1024 * 1024
#: Options of schemes. Callers wait for an upload's answer, and botocore tries for half a minute by itself.
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "s3": {
        "config_kwargs": {
            "connect_timeout": 3,
            "read_timeout": 30,
            "retries": {"total_max_attempts": 2, "mode": "standard"},
        }
    }
}


class RemoteFiles:
    """Files below a URL, and a folder of this process for the steps that work here.

    Parameters
    ----------
    url
        Folder with one folder per job.
    scratch
        Folder of this machine in which each process makes its own; what is in it can be lost at any time.

    Raises
    ------
    ConfigError
        When the URL cannot be used, such as for want of its library.
    """

    def __init__(self, url: str, scratch: Path) -> None:
        try:
            self._system, self._root = fsspec.url_to_fs(url.rstrip("/"), **_OPTIONS.get(url.partition("://")[0], {}))
        except (ValueError, ImportError) as error:
            raise ConfigError(f"FRAUD_JOBS_URL cannot be used: {error}") from error
        self._url = url.rstrip("/")
        scratch.mkdir(parents=True, exist_ok=True)
        self._scratch, held = own_folder(scratch)
        weakref.finalize(self, _end, self._scratch, held)
        self._local = LocalFiles(self._scratch)

    def receive(self, job_id: str) -> Upload:
        with _told():
            self._system.makedirs(f"{self._root}/{job_id}", exist_ok=True)
            return _RemoteUpload(self, job_id, self._system.open(f"{self._root}/{job_id}/{INPUT}", "wb"))

    def source(self, job_id: str) -> str:
        return f"{self._url}/{job_id}/{INPUT}"

    def folder(self, job_id: str) -> Path:
        return self._local.folder(job_id)

    def fetch(self, job_id: str, names: Iterable[str] | None = None) -> None:
        folder = self.folder(job_id)
        wanted = None if names is None else set(names)
        with _told():
            for name in self._files(job_id):
                if name == INPUT or (folder / name).exists() or (wanted is not None and name not in wanted):
                    continue
                place = f"{self._root}/{job_id}/{name}"
                with self._system.open(place, "rb") as there, atomic_file(folder / name) as here:
                    shutil.copyfileobj(there, here, _BLOCK)

    def send(self, job_id: str) -> None:
        folder = self.folder(job_id)
        with _told():
            there = self._files(job_id)
            for path in sorted(folder.rglob("*")):
                name = path.relative_to(folder).as_posix()
                hidden = any(part.startswith(".") for part in name.split("/"))
                if path.is_file() and not hidden and there.get(name) != path.stat().st_size:
                    target = f"{self._root}/{job_id}/{name}"
                    self._system.makedirs(str(PurePosixPath(target).parent), exist_ok=True)
                    self._system.put_file(str(path), target)

    def put(self, job_id: str, file: Path) -> None:
        with _told():
            self._system.put_file(str(file), f"{self._root}/{job_id}/{file.name}")

    def open(self, job_id: str, name: str) -> BinaryIO | None:
        # Whole and without a name: what is asked for once takes no room afterwards.
        copy: BinaryIO = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115
        try:
            with _told(), self._system.open(f"{self._root}/{job_id}/{name}", "rb") as there:
                shutil.copyfileobj(there, copy, _BLOCK)
        except BaseException as error:
            copy.close()
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        copy.seek(0)
        return copy

    def size(self, job_id: str) -> int:
        with _told():
            return sum(self._files(job_id).values())

    def keep(self, job_id: str, names: Iterable[str]) -> None:
        kept = set(names)
        with _told():
            for name in self._files(job_id):
                if name.partition("/")[0] not in kept:
                    self._system.rm_file(f"{self._root}/{job_id}/{name}")

    def remove(self, job_id: str) -> None:
        with _told(), contextlib.suppress(FileNotFoundError):
            self._system.rm(f"{self._root}/{job_id}", recursive=True)
        self.leave(job_id)

    def leave(self, job_id: str) -> None:
        self._local.remove(job_id)

    def names(self) -> list[str]:
        with _told(), contextlib.suppress(FileNotFoundError):
            found = {PurePosixPath(path).name for path in self._system.ls(self._root, detail=False, refresh=True)}
            return sorted(name for name in found if id_time(name) is not None)
        return []

    def _files(self, job_id: str) -> dict[str, int]:
        """Names within a job's folder, and their sizes."""
        folder = f"{self._root}/{job_id}"
        with contextlib.suppress(FileNotFoundError):
            # What another machine wrote is in no listing that this one remembers.
            self._system.invalidate_cache(folder)
            found = self._system.find(folder, detail=True)
            return {path.rpartition(f"{job_id}/")[2]: int(info["size"]) for path, info in found.items()}
        return {}


class _RemoteUpload:
    def __init__(self, files: RemoteFiles, job_id: str, stream: Any) -> None:
        self._files = files
        self._job_id = job_id
        self._stream = stream

    def write(self, data: bytes) -> None:
        with _told():
            self._stream.write(data)

    def commit(self) -> None:
        with _told():
            self._stream.close()

    def discard(self) -> None:
        # Closing may complete the file; it is removed in any case.
        with contextlib.suppress(Exception):
            self._stream.close()
        with contextlib.suppress(Unavailable):
            self._files.remove(self._job_id)


def _end(scratch: Path, held: BinaryIO) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    held.close()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except Unavailable:
        raise
    except Exception as error:
        # Every library of a scheme raises errors of its own.
        raise Unavailable(f"the jobs' files cannot be used at the moment ({type(error).__name__})") from error
