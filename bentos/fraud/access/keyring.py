"""The keys that are valid now, and their file's changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Final

from bentos.core.errors import ConfigError
from bentos.fraud.access.callers import Caller
from bentos.fraud.access.keys import KeyRecord, key_digest, read_keys

__all__ = ["Keyring", "Signature", "signature"]

_LOGGER = logging.getLogger(__name__)
_KEPT: Final = "the file of API keys cannot be used, the log says why; the keys that were read last hold"

#: What of a file changes when its content does: device, inode, size, time of change; None when it is not there.
Signature = tuple[int, int, int, int] | None


def signature(path: Path) -> Signature:
    """See :data:`Signature`. Links are followed: Kubernetes changes a mounted secret by moving one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Keyring:
    """Finds the caller of a key.

    Parameters
    ----------
    path
        Of the file of keys.
    caller
        Makes a caller of what the file says of a key.

    Raises
    ------
    ConfigError
        When the file cannot be read. Later that is logged, and the keys that were read last stay.
    """

    def __init__(self, path: Path, caller: Callable[[KeyRecord], Caller]) -> None:
        self._path: Final = path
        self._make = caller
        #: What is wrong with the file, if anything, in words that everybody may read.
        self.trouble: str | None = None
        self._seen = signature(path)
        self._callers = self._read()

    def find(self, key: str) -> Caller | None:
        """The caller of a key, expired or not; None when nobody has it."""
        return self._callers.get(key_digest(key))

    def refresh(self) -> None:
        """Read the file again if it has changed. Safe to be called in another thread than :meth:`find`."""
        now = signature(self._path)
        if now == self._seen:
            return
        # Before it is read: what changes meanwhile is seen the next time.
        self._seen = now
        try:
            self._callers = self._read()
        except ConfigError as error:
            self.trouble = _KEPT
            _LOGGER.error("the API keys stay as they were: %s", error)  # noqa: TRY400 - the message says it all
        else:
            self.trouble = None
            _LOGGER.info("the API keys were read again: there are %d", len(self._callers))

    def _read(self) -> Mapping[bytes, Caller]:
        return {bytes.fromhex(record.sha256): self._make(record) for record in read_keys(self._path).keys}


def expiry(record: KeyRecord) -> float:
    """When a key's time is over, ``time.time()`` seconds."""
    return inf if record.expires_at is None else record.expires_at.timestamp()
