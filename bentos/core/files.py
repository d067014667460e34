"""Files that are either there as a whole or not at all, and files that one process has to itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["atomic_file", "lock_file", "put_in_place", "sync_folder"]


@contextlib.contextmanager
def atomic_file(path: Path, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its place only when the block ends well.

    The bytes are on disk before the name is. On any error, Ctrl-C included, the temporary file goes.

    Parameters
    ----------
    path
        Of the file; its folder is made.
    mode
        Who may read it, such as 0o600. None means what the process's mask allows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        # mkstemp gives 0600; a file that others are to read gets what the process's mask allows.
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask if mode is None else mode)
        put_in_place(Path(name), path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def put_in_place(written: Path, path: Path) -> None:
    """Give a whole file its name, on the same file system, when its bytes are on disk."""
    _sync(written)
    written.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock_file(path: Path) -> BinaryIO | None:
    """A file that this process alone has locked, until it closes it or ends; None when another has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = path.open("ab")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        return None
    return stream
