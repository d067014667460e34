"""Opens the file of the embedded store: who makes it, who repairs it, who only joins.

A process holds a shared ``flock`` on the file for as long as it has it open. Who gets it exclusively is alone: it makes
a new file, takes over one whose last owner was killed, or rebuilds one whose machine failed. All others join.

States that lie in memory and the file that is their copy have the same random identity. Where they differ, or nothing
lies in memory (after a reboot, in another container), the file decides: memory is made anew from it, and both get a new
identity, the file last. Until then the old file stands, so whoever is killed before leaves nothing half done.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from bentos.core.errors import ArtifactIncompatible, Unavailable
from bentos.core.features import _states
from bentos.core.features.definitions import FEATURE_SCHEMA
from bentos.core.features.window_statistics import SPECIFICATION
from bentos.core.files import sync_folder
from bentos.fraud.store.copying import log_of, redo, write_out
from bentos.fraud.store.memory import MemoryPlace

__all__ = ["StateFile", "now_microseconds"]

_LOGGER = logging.getLogger(__name__)
#: A call waits so long for another's rows; one takes microseconds.
_LOCK_MILLISECONDS: Final = 100
#: Rebuilding the largest file takes about as long.
_OPEN_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.01
#: Formats that are carried over into a new file.
_READABLE: Final = (1, _states.FORMAT_VERSION)
#: As :func:`._states.inspect` returns it.
_Head = tuple[int, bytes, bytes, bytes, int, bytes, bool, int]
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


class _Carried(NamedTuple):
    outcome: int
    kept: int
    dropped: int


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
    memory
        Folder in memory where the states lie if it has room, the file being their copy; None maps the file itself.
    """

    path: Path
    fingerprint: str
    capacity_bytes: int
    memory: Path | None = None

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

    @property
    def _place(self) -> MemoryPlace | None:
        return None if self.memory is None else MemoryPlace(self.memory, self.path)

    def _map(self, fd: int, how: str, capacity: int, changes: int = -1, lock: int = -1) -> _states.States:
        return _states.States(
            fd,
            how,
            capacity,
            bytes.fromhex(FEATURE_SCHEMA),
            self.fingerprint.encode()[:16].ljust(16, b"\0"),
            _boot(),
            SPECIFICATION,
            _LOCK_MILLISECONDS,
            changes,
            lock,
        )

    # ---- beside others ----

    def _join(self, fd: int) -> _states.States | None:
        head = _states.inspect(fd)
        if head is None:
            return None  # who made it was killed; next time this process may be alone
        self._agree(head, {_states.FORMAT_VERSION})
        if head[3] != _boot():
            raise Unavailable(f"the feature store {self.path} is in use by another machine; each needs its own")
        return self._join_in_memory(fd, head) if head[6] else self._map(fd, "join", head[4])

    def _join_in_memory(self, fd: int, head: _Head) -> _states.States:
        place = self._place
        with contextlib.nullcontext() if place is None else place.opened(head[5]) as files:
            if files is None:
                raise Unavailable(
                    f"the feature store {self.path} is in use by another machine or container, which holds it in memory"
                    f" that is not in {self.memory}; each needs its own, processes of one machine need the same"
                    " FRAUD_FEATURE_MEMORY_FOLDER"
                )
            try:
                return self._map(files[0], "join", head[4], files[1], fd)
            except ValueError as error:
                raise Unavailable(
                    f"the feature store {self.path} cannot be joined in {self.memory}: {error}"
                ) from error

    # ---- alone ----

    def _take_over(self, fd: int) -> _states.States | None:
        try:
            head = _states.inspect(fd)
        except ValueError as error:
            self._set_aside(str(error))
            return None
        if head is not None:
            self._agree(head, _READABLE)
        states = None if head is None else self._take_over_in_memory(fd, head)
        if states is not None:
            return states
        place = self._place_for(os.fstat(fd).st_size)
        if place is None:
            return self._take_over_mapped(fd, head)
        self._rebuild(fd, head, place)
        return None

    def _take_over_in_memory(self, fd: int, head: _Head) -> _states.States | None:
        """What lies in memory, when it is what the file is the copy of; else the file is made whole, and decides."""
        place = self._place
        states = None if place is None or not head[6] or head[3] != _boot() else self._recover(place, fd, head)
        if states is not None:
            return states
        if head[6]:
            with _descriptor(log_of(self.path), os.O_CREAT) as log:
                redo(log, fd, head[5])
        if place is not None:
            place.discard()
        return None

    def _recover(self, place: MemoryPlace, fd: int, head: _Head) -> _states.States | None:
        with place.opened(head[5]) as files:
            if files is None:
                return None
            try:
                states = self._map(
                    files[0], "recover", max(self.capacity_bytes, os.fstat(files[0]).st_size), files[1], fd
                )
            except ValueError as error:
                _LOGGER.warning("%s is given up for its copy %s: %s", place.states, self.path, error)
                return None
        # A copier that was killed may have written a round that it did not end.
        copying = states.copying
        if copying is not None and head[7] in (copying[0], copying[5]):
            return states
        states.close()
        _LOGGER.warning("%s is given up for the older copy that was put at %s", place.states, self.path)
        return None

    def _place_for(self, size: int) -> MemoryPlace | None:
        place = self._place
        lack = None if place is None else place.lacks(size, self.capacity_bytes)
        if lack is None:
            return place
        _LOGGER.warning(
            "the feature store %s is mapped from its disk, whose writing back delays answers: %s; give that folder more"
            " memory (--shm-size, or an emptyDir of medium Memory), or set FRAUD_FEATURE_MEMORY_FOLDER to another",
            self.path,
            lack,
        )
        return None

    def _take_over_mapped(self, fd: int, head: _Head | None) -> _states.States | None:
        if head is None:
            return self._map(fd, "create", self.capacity_bytes)
        try:
            if head[0] == _states.FORMAT_VERSION:
                return self._map(fd, "recover", max(self.capacity_bytes, os.fstat(fd).st_size))
        except ValueError:
            pass
        self._rebuild(fd, head, None)
        return None

    def _agree(self, head: _Head, versions: Collection[int]) -> None:
        version, schema, fingerprint, *_ = head
        for name, found, expected in (
            ("format", str(version), str(version if version in versions else _states.FORMAT_VERSION)),
            ("feature_schema", schema.hex(), FEATURE_SCHEMA),
            ("pseudonym_key", fingerprint.rstrip(b"\0").decode(errors="replace"), self.fingerprint),
        ):
            if found != expected:
                raise ArtifactIncompatible(
                    f"the feature store {self.path} was made with {name} {found}, this program uses {expected};"
                    " set FRAUD_PSEUDONYM_KEY as it was, or move the file away to start anew"
                )

    def _rebuild(self, fd: int, head: _Head | None, place: MemoryPlace | None) -> None:
        """Replace the file by one that holds what is sound in it, with its original in memory if there is a place."""
        beside = self.path.with_name(f"{self.path.name}.rebuilt")
        # Room for all of the old file; the setting counts again when the new one is taken over.
        capacity = max(self.capacity_bytes, 2 * os.fstat(fd).st_size)
        carried = _Carried(_states.DONE, 0, 0)
        with _descriptor(beside, os.O_CREAT | os.O_TRUNC) as fresh:
            if place is None:
                with contextlib.closing(self._map(fresh, "create", capacity)) as states:
                    carried = self._carry(states, fd, head)
            else:
                with place.prepared() as (memory, changes):
                    with contextlib.closing(self._map(memory, "create", capacity, changes)) as states:
                        carried = self._carry(states, fd, head)
                        write_out(states, fresh)
                    place.publish()
            if carried.outcome == _states.NO_SPACE:
                beside.unlink()
                raise Unavailable(f"the feature store {self.path} cannot be rebuilt: disk or memory is full")
            if carried.outcome != _states.DONE:
                beside.unlink()
                self._set_aside("its table cannot be read")
                return
            os.fsync(fresh)
            beside.replace(self.path)
        sync_folder(self.path.parent)
        if head is not None and head[3] != _boot():
            level = logging.WARNING if carried.dropped else logging.INFO
            message = "the machine has started anew; the feature store %s is verified: %d keys kept, %d dropped"
            _LOGGER.log(level, message, self.path, carried.kept, carried.dropped)

    def _carry(self, states: _states.States, fd: int, head: _Head | None) -> _Carried:
        return _Carried(_states.DONE, 0, 0) if head is None else _Carried(*states.carry(fd, now_microseconds()))

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
