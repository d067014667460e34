"""Where the results of a data set go: a folder or any URL of fsspec, with a marker beside each that proves it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol

import fsspec

from bentos.core.errors import FraudError, Unavailable
from bentos.core.files import atomic_file
from bentos.fraud.bulk.partitions import Partition
from bentos.fraud.bulk.reading import refused

__all__ = ["Target"]

#: Begins with a dot, so that readers of the data set pass over it.
_MARKER: Final = ".{name}.done"


class _Place(Protocol):
    """Files by their names below a root; a file is there as a whole or its marker does not say so."""

    def read(self, name: str) -> bytes: ...
    def size(self, name: str) -> int: ...
    def write(self, name: str, content: Path | bytes) -> None: ...
    def remove(self, name: str) -> None: ...


class Target:
    """Where results go.

    Parameters
    ----------
    root
        Folder of this machine, or URL.
    identity
        Of the model and of how it was asked; what another one made is made again.

    Raises
    ------
    InvalidInput
        When the URL's scheme is not known.
    """

    def __init__(self, root: str, identity: str) -> None:
        self._place: _Place = _Remote(root) if "://" in root else _Folder(Path(root))
        self._identity = identity

    def done(self, partition: Partition) -> bool:
        """Whether the result is there, made from the same file in the same way."""
        try:
            marker = json.loads(self._place.read(_marker(partition.name)))
            return bool(
                marker["version"] == partition.version
                and marker["identity"] == self._identity
                and marker["result_bytes"] == self._place.size(partition.name)
            )
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def put(self, partition: Partition, result: Path, rows: int, failed: int) -> None:
        """Take a result over."""
        # A marker of an older result must not speak for a newer one.
        self._place.remove(_marker(partition.name))
        self._place.write(partition.name, result)
        about = {
            "version": partition.version,
            "identity": self._identity,
            "result_bytes": result.stat().st_size,
            "rows": rows,
            "failed": failed,
        }
        self._place.write(_marker(partition.name), json.dumps(about).encode())


def _marker(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(_MARKER.format(name=path.name)))


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()

    def size(self, name: str) -> int:
        return (self._root / name).stat().st_size

    def write(self, name: str, content: Path | bytes) -> None:
        with atomic_file(self._root / name) as here:
            if isinstance(content, bytes):
                here.write(content)
                return
            with content.open("rb") as there:
                shutil.copyfileobj(there, here, 1 << 20)

    def remove(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)


class _Remote:
    """Object stores show a file when all of it is there; elsewhere its size differs from the marker's."""

    def __init__(self, url: str) -> None:
        try:
            self._system, self._root = fsspec.url_to_fs(url.rstrip("/"))
        except (ValueError, ImportError) as error:
            raise refused(f"{url} cannot be opened: {error}", "target") from error

    def read(self, name: str) -> bytes:
        return bytes(self._asked("cat_file", name))

    def size(self, name: str) -> int:
        return int(self._asked("size", name))

    def write(self, name: str, content: Path | bytes) -> None:
        path = self._path(name)
        try:
            self._system.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
            if isinstance(content, bytes):
                self._system.pipe_file(path, content)
            else:
                self._system.put_file(str(content), path)
        except Exception as error:
            raise _silent(path, error) from error

    def remove(self, name: str) -> None:
        try:
            self._asked("rm_file", name)
        except FileNotFoundError:
            return

    def _asked(self, what: str, name: str) -> Any:
        path = self._path(name)
        # What another machine wrote is in no listing that this one remembers.
        self._system.invalidate_cache()
        try:
            return getattr(self._system, what)(path)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise _silent(path, error) from error

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _silent(path: str, error: Exception) -> FraudError:
    # The libraries behind URLs have no common class.
    return Unavailable(f"{path} cannot be used at the moment ({type(error).__name__})")
