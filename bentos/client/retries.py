"""When a call is tried again.

Full jitter: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. The budget is a token bucket as
in gRPC's retry throttling (proposal A6): retries are a share of the calls, so that a broken server isn't stormed.
"""

from __future__ import annotations

from random import SystemRandom
from threading import Lock
from typing import Final

from bentos.client.options import ClientOptions

__all__ = ["RetryBudget", "pause_seconds"]

#: What a budget holds at most, and at first: a client that has just begun may retry, too.
_MAXIMUM_TOKENS: Final = 10.0
_RANDOM: Final = SystemRandom()


class RetryBudget:
    """Retries that a client may make. Shared by threads.

    Parameters
    ----------
    ratio
        What a call adds; a retry takes 1.
    """

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._tokens = _MAXIMUM_TOKENS
        self._lock = Lock()

    def earn(self) -> None:
        """Count a call."""
        with self._lock:
            self._tokens = min(_MAXIMUM_TOKENS, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Take a retry, if there is one left."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


def pause_seconds(retry: int, least_seconds: float, options: ClientOptions) -> float:
    """How long to wait before a retry, the first being number 0.

    A server that is overloaded may say when to come back; jitter comes on top of it, or all would come back at once.
    """
    longest = min(options.maximum_backoff_seconds, options.backoff_seconds * 2**retry)
    return least_seconds + _RANDOM.uniform(0, longest)
