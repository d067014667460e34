"""Opens the file of the embedded store: who makes it, who repairs it, who only joins.

A process holds a shared ``flock`` on the file for as long as it has it open. Who gets it exclusively is alone: it makes
a new file, takes over one whose last owner was killed, or rebuilds one whose machine failed. All others join.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bentos.core.errors import ArtifactIncompatible, Unavailable
from bentos.core.features import _states
from bentos.core.features.definitions import FEATURE_SCHEMA
from bentos.core.features.window_statistics import SPECIFICATION
from bentos.core.files import sync_folder

__all__ = ["StateFile", "now_microseconds"]

_LOGGER = logging.getLogger(__name__)
#: A call waits so long for another's rows; one takes microseconds.
_LOCK_MILLISECONDS: Final = 100
#: Rebuilding the largest file takes about as long.
_OPEN_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.01
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def now_microseconds() -> int:
    """The clock, microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def _boot() -> bytes:
    try:
        return bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))[:16].ljust(16, b"\0")
    except (OSError, ValueError):
        # Without it every start must be taken for the first after a power cut.
        return os.urandom(16)


@dataclass(frozen=True, slots=True)
class StateFile:
    """Where the states lie, and what must fit.

    Parameters
    ----------
    path
        Of the file; made when there is none.
    fingerprint
        Of the secret that hashes the keys.
    capacity_bytes
        Largest size of the file; of who joins, the one with which the file was opened counts.
    """

    path: Path
    fingerprint: str
    capacity_bytes: int

    def open(self) -> _states.States:
        """Open the file.

        Raises
        ------
        Unavailable
            When it cannot be opened, or another machine has it open.
        ArtifactIncompatible
            When it was written for other features, with another pseudonym key, or in another format.
        """
        until = time.monotonic() + _OPEN_SECONDS
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            while True:
                states = self._try_open()
                if states is not None:
                    return states
                if time.monotonic() > until:
                    raise Unavailable(f"the feature store {self.path} is being opened by another process")
                time.sleep(_POLL_SECONDS)
        except OSError as error:
            raise Unavailable(f"the feature store {self.path} cannot be opened: {error}") from error

    def _try_open(self) -> _states.States | None:
        with _descriptor(self.path, os.O_CREAT) as fd:
            alone = _locked(fd, fcntl.LOCK_EX)
            if not (alone or _locked(fd, fcntl.LOCK_SH)) or not self._is_current(fd):
                return None
            states = self._take_over(fd) if alone else self._join(fd)
            if states is not None and alone:
                # Not atomic: in between another may have been alone with the file, and even have replaced it.
                fcntl.flock(fd, fcntl.LOCK_SH)
                if not self._is_current(fd):
                    states.close()
                    return None
            return states

    def _is_current(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), self.path.stat())
        except FileNotFoundError:
            return False

    def _map(self, fd: int, how: str, capacity: int) -> _states.States:
        return _states.States(
            fd,
            how,
            capacity,
            bytes.fromhex(FEATURE_SCHEMA),
            self.fingerprint.encode()[:16].ljust(16, b"\0"),
            _boot(),
            SPECIFICATION,
            _LOCK_MILLISECONDS,
        )

    def _join(self, fd: int) -> _states.States | None:
        head = _states.inspect(fd)
        if head is None:
            return None  # who made it was killed; next time this process may be alone
        self._agree(head)
        if head[3] != _boot():
            raise Unavailable(f"the feature store {self.path} is in use by another machine; each needs its own")
        return self._map(fd, "join", head[4])

    def _take_over(self, fd: int) -> _states.States | None:
        try:
            head = _states.inspect(fd)
        except ValueError as error:
            self._set_aside(str(error))
            return None
        if head is None:
            return self._map(fd, "create", self.capacity_bytes)
        self._agree(head)
        try:
            return self._map(fd, "recover", max(self.capacity_bytes, os.fstat(fd).st_size))
        except ValueError:
            self._rebuild(fd)
            return None

    def _agree(self, head: tuple[int, bytes, bytes, bytes, int]) -> None:
        version, schema, fingerprint, *_ = head
        for name, found, expected in (
            ("format", str(version), str(_states.FORMAT_VERSION)),
            ("feature_schema", schema.hex(), FEATURE_SCHEMA),
            ("pseudonym_key", fingerprint.rstrip(b"\0").decode(errors="replace"), self.fingerprint),
        ):
            if found != expected:
                raise ArtifactIncompatible(
                    f"the feature store {self.path} was made with {name} {found}, this program uses {expected};"
                    " set FRAUD_PSEUDONYM_KEY as it was, or move the file away to start anew"
                )

    def _rebuild(self, fd: int) -> None:
        """Replace a file whose machine failed by what is sound in it."""
        beside = self.path.with_name(f"{self.path.name}.rebuilt")
        with _descriptor(beside, os.O_CREAT | os.O_TRUNC) as fresh:
            # Room for all of the old file; the setting counts again when the new one is taken over.
            states = self._map(fresh, "create", max(self.capacity_bytes, 2 * os.fstat(fd).st_size))
            outcome, kept, dropped = states.carry(fd, now_microseconds())
            states.close()
            if outcome == _states.NO_SPACE:
                beside.unlink()
                raise Unavailable(f"the feature store {self.path} cannot be rebuilt: the disk is full")
            if outcome != _states.DONE:
                beside.unlink()
                self._set_aside("its table cannot be read")
                return
            os.fsync(fresh)
            beside.replace(self.path)
        sync_folder(self.path.parent)
        level = logging.WARNING if dropped else logging.INFO
        message = "the machine has started anew; the feature store %s is verified: %d keys kept, %d dropped"
        _LOGGER.log(level, message, self.path, kept, dropped)

    def _set_aside(self, reason: str) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
        self.path.replace(aside)
        sync_folder(self.path.parent)
        _LOGGER.error("the feature store %s is moved to %s and begun anew: %s", self.path, aside.name, reason)


@contextlib.contextmanager
def _descriptor(path: Path, flags: int) -> Iterator[int]:
    # The states keep a duplicate, and with it the lock.
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _locked(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
