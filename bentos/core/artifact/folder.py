"""A folder that is there as a whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import glob
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Final

from bentos.core.files import sync_folder

__all__ = ["interrupt_later", "write_folder"]

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write files to a new folder and put it in the place of ``target``, whatever stands there.

    Everything is on disk before the name is. Where the kernel can exchange two names in one step (Linux), a reader
    finds the old folder or the new one, never none and never a mixture; elsewhere the name is missing for a moment. On
    any error the old folder stays and the temporary one goes; after a kill the next call removes it. The caller holds
    Ctrl-C back (:func:`interrupt_later`).

    Raises
    ------
    OSError
        A full disk, missing rights and the like.
    """
    target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with _temporary_folder(target) as temporary:
        for name, content in files.items():
            with (temporary / name).open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o777 & ~mask)
        sync_folder(temporary)
        _replace(temporary, target)
        sync_folder(target.parent)


@contextlib.contextmanager
def interrupt_later() -> Iterator[None]:
    """Hold back the first Ctrl-C until the block ends.

    One in the midst of cleaning up would leave files behind; one in the midst of packing comes out of the standard
    library's ZipFile as a ValueError. A second one acts at once, for a disk that hangs.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield  # only the main thread is ever interrupted
        return
    held: list[tuple[int, FrameType | None]] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            before(number, frame)
        held.append((number, frame))

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            before(*held[0])


@contextlib.contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    """A folder beside the target, removed at the end with whatever it then holds.

    While it is written it is locked; the lock goes with the process, however that ends, and tells
    :func:`_remove_abandoned` of other writers what is still in use.
    """
    _remove_abandoned(target)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
        try:
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue  # another writer took it for abandoned before it was locked
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink > 0:
            break
        os.close(handle)
    try:
        yield folder
    finally:
        # After an exchange this is what the target was before.
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _replace(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if not _exchange(source, target):
            aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
            target.rename(aside)
            try:
                source.rename(target)
            except BaseException:
                aside.rename(target)
                raise
            shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step; False where that cannot be done."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _remove_abandoned(target: Path) -> None:
    """Remove what killed writers of the same target left behind."""
    for folder in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)
