"""A folder in memory, in which small jobs are done: their steps take less time than a disk to keep what lies between.

Nothing is lost with it: a job that was done there and did not end is done again from its input.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import Final

from bentos.fraud.jobs.supervisor import lock_file

__all__ = ["quick_folder"]

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of mode 0700 is made in it
_PREFIX: Final = "fraud-jobs-"
_LOCK: Final = "lock"
#: A folder that is new may belong to a process that has not locked it yet.
_NEW_SECONDS: Final = 60.0


@contextlib.contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder of this process alone, until the block ends; those of processes that were killed are removed first."""
    root = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    for left in root.glob(f"{_PREFIX}*"):
        # Others' folders, of other users or just being removed by another process.
        with contextlib.suppress(OSError):
            _remove_if_left(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    held = lock_file(folder / _LOCK)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            held.close()


def _remove_if_left(folder: Path) -> None:
    if time() - folder.stat().st_mtime < _NEW_SECONDS:
        return
    held = lock_file(folder / _LOCK)
    if held is not None:
        with held:
            shutil.rmtree(folder, ignore_errors=True)
