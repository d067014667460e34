"""Folders that belong to one process; those of processes that were killed are removed by the next.

One in memory, in which small jobs are done: their steps take less time than a disk to keep what lies between. Nothing
is lost with it: a job that was done there and did not end is done again from its input.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import BinaryIO, Final

from bentos.core.files import lock_file

__all__ = ["own_folder", "quick_folder"]

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of mode 0700 is made in it
_PREFIX: Final = "fraud-jobs-"
_LOCK: Final = "lock"
#: A folder that is new may belong to a process that has not locked it yet.
_NEW_SECONDS: Final = 60.0


@contextlib.contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder of this process alone, until the block ends."""
    folder, held = own_folder(_MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.close()


def own_folder(root: Path) -> tuple[Path, BinaryIO]:
    """A folder of this process alone as long as the stream is open; those of processes that were killed are removed."""
    for left in root.glob(f"{_PREFIX}*"):
        # Others' folders, of other users or just being removed by another process.
        with contextlib.suppress(OSError):
            _remove_if_left(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    held = lock_file(folder / _LOCK)
    if held is None:
        raise BlockingIOError(f"{folder} is new and locked by another process")
    return folder, held


def _remove_if_left(folder: Path) -> None:
    if time() - folder.stat().st_mtime < _NEW_SECONDS:
        return
    held = lock_file(folder / _LOCK)
    if held is not None:
        with held:
            shutil.rmtree(folder, ignore_errors=True)
