"""Keeps a failing server from being asked by every request: a circuit breaker.

After Nygard, "Release It!" (2007): closed, it counts failures; open, nothing is asked; after a while one call tries.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

__all__ = ["Breaker"]

_WINDOW_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 1.0


class Breaker:
    """Opens after some failures within ten seconds; then lets one call a second try. Safe for use by several threads.

    Parameters
    ----------
    failures
        After how many it opens.
    clock
        Seconds that only grow.
    """

    def __init__(self, failures: int, clock: Callable[[], float] = monotonic) -> None:
        self._limit = failures
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: deque[float] = deque(maxlen=failures)
        self._retry_at: float | None = None
        self._reason: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why it is open, or what failed last while nothing has worked since; None when all is well."""
        if self._reason is None:
            return None
        state = "closed" if self._retry_at is None else "open"
        return f"{self._reason} (circuit {state})"

    def allows(self) -> bool:
        """Whether the server may be asked; whoever is told so says how it went."""
        if self._retry_at is None:
            return True
        with self._lock:
            now = self._clock()
            if self._retry_at is not None and now < self._retry_at:
                return False
            # One tries; the others go on without until it has been seen to work.
            self._retry_at = now + _RETRY_SECONDS
            return True

    def worked(self) -> None:
        """A call succeeded."""
        if self._reason is not None:
            with self._lock:
                self._failed.clear()
                self._retry_at = self._reason = None

    def failed(self, reason: str) -> bool:
        """A call failed; returns whether that opened the circuit."""
        with self._lock:
            now = self._clock()
            self._failed.append(now)
            self._reason = reason
            many = len(self._failed) == self._limit and now - self._failed[0] <= _WINDOW_SECONDS
            opened = many and self._retry_at is None
            if many or self._retry_at is not None:
                self._retry_at = now + _RETRY_SECONDS
            return opened
