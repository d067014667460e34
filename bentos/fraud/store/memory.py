"""Where the embedded store lies in memory: two files of a folder such as /dev/shm, which all processes map.

The folder is everybody's on most machines. So the files are the user's own and nobody else's to read, a link is not
followed, and what another user has put there is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bentos.core.errors import Unavailable
from bentos.core.features import _states

__all__ = ["MemoryPlace"]

#: With less there is no use in beginning.
_LEAST_BYTES: Final = 256 * 1024**2
_DIGITS: Final = 24


@dataclass(frozen=True, slots=True)
class MemoryPlace:
    """Names the files of one store, opens and replaces them. For changes the caller is alone with the store.

    Parameters
    ----------
    folder
        In memory.
    disk
        The store's file on a disk.
    """

    folder: Path
    disk: Path

    @property
    def states(self) -> Path:
        """The store."""
        name = hashlib.sha256(os.fsencode(self.disk.resolve())).hexdigest()[:_DIGITS]
        return self.folder / f"fraud-{os.geteuid()}-{name}.states"

    @property
    def changes(self) -> Path:
        """Which of its pages the disk does not have yet."""
        return self.states.with_suffix(".changes")

    @contextlib.contextmanager
    def opened(self, identity: bytes) -> Iterator[tuple[int, int] | None]:
        """Open the store and its changes; None when there is none of this identity.

        Raises
        ------
        Unavailable
            When the files are not this user's own.
        """
        with contextlib.ExitStack() as stack:
            try:
                states = stack.enter_context(_own(self.states, 0))
                head = _states.inspect(states)
            except (FileNotFoundError, ValueError):
                head = None
            if head is None or head[5] != identity:
                yield None
            else:
                yield states, stack.enter_context(_own(self.changes, os.O_CREAT))

    @contextlib.contextmanager
    def prepared(self) -> Iterator[tuple[int, int]]:
        """New, empty files under other names; :meth:`publish` gives them theirs."""
        for path in (self.states, self.changes):
            _beside(path).unlink(missing_ok=True)
        new = os.O_CREAT | os.O_EXCL
        with _own(_beside(self.states), new) as states, _own(_beside(self.changes), new) as changes:
            yield states, changes

    def publish(self) -> None:
        """Put the prepared files in their places."""
        for path in (self.changes, self.states):
            _beside(path).replace(path)

    def discard(self) -> None:
        """Give back the memory of a store that is no longer true."""
        for path in (self.states, self.changes):
            with contextlib.suppress(FileNotFoundError), _own(path, 0):
                path.unlink()

    def lacks(self, size: int, capacity: int) -> str | None:
        """Why a store of this size, which may grow to the capacity, should not be here; None when it may."""
        needed = min(max(_LEAST_BYTES, 2 * size), capacity)
        try:
            about = os.statvfs(self.folder)
        except OSError as error:
            return f"the folder cannot be used: {error}"
        if not os.access(self.folder, os.W_OK | os.X_OK):
            return f"{self.folder} may not be written"
        free = about.f_bavail * about.f_frsize
        if free >= needed:
            return None
        return f"{self.folder} has {free / 1e6:,.0f} MB left, at least {needed / 1e6:,.0f} are needed"


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


@contextlib.contextmanager
def _own(path: Path, flags: int) -> Iterator[int]:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unavailable(f"{path} cannot hold the feature store: {error}; who put it there?") from error
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
            raise Unavailable(
                f"{path} cannot hold the feature store: it belongs to user {about.st_uid}, mode"
                f" {stat.filemode(about.st_mode)}; needed is a file of user {os.geteuid()} that nobody else may read or"
                " write; remove it, or set FRAUD_FEATURE_MEMORY_FOLDER to a folder of your own in memory"
            )
        yield fd
    finally:
        os.close(fd)
