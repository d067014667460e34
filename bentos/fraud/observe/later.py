"""Counting and logging that waits until answers have left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

__all__ = ["Later"]

_LOGGER = logging.getLogger(__name__)
#: Long enough that a caller who asks again at once is not kept waiting by the count of his last request, and that what
#: counting needs is fetched into the processor's caches for many at a time.
_SECONDS: Final = 0.02
#: So many take some 0.2 ms.
_MOST: Final = 32


class Later:
    """Makes calls a moment later, many in one step of the event loop it belongs to; without a loop at once."""

    __slots__ = ("_calls", "_timer")

    def __init__(self) -> None:
        self._calls: list[Callable[[], object]] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, call: Callable[[], object]) -> None:
        """Make a call later, in order."""
        self._calls.append(call)
        if self._timer is None:
            try:
                self._timer = asyncio.get_running_loop().call_later(_SECONDS, self.run)
            except RuntimeError:
                self.run()
        elif len(self._calls) == _MOST:
            # Not here: an answer may be about to leave.
            asyncio.get_running_loop().call_soon(self.run)

    def run(self) -> None:
        """Make the calls that wait, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        calls, self._calls = self._calls, []
        for call in calls:
            try:
                call()
            except Exception:
                # One that fails takes no other with it.
                _LOGGER.exception("an answer could not be counted or logged")
