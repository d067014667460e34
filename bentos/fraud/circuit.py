"""Keeps a broken model from being asked for every request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Final

__all__ = ["Circuit"]

#: Seconds between two looks whether the model works again.
_RETRY_SECONDS: Final = 1.0
_LOGGER = logging.getLogger(__name__)


class Circuit:
    """Open while the model is broken. Belongs to one event loop.

    Whether it is broken, a row tells that it could score when it was loaded: a customer's row that fails may be the
    row's fault, and no customer's row is spent on trying.

    Parameters
    ----------
    works
        Scores that row; whether it could.
    """

    def __init__(self, works: Callable[[], bool]) -> None:
        self._works = works
        self._retry_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the model is not to be asked. Looks once in a second whether it works again."""
        if self._retry_at is None:
            return False
        now = monotonic()
        if now >= self._retry_at:
            if self._works():
                self._retry_at = None
                _LOGGER.info("the model can score again")
                return False
            self._retry_at = now + _RETRY_SECONDS
        return True

    @property
    def trouble(self) -> str | None:
        """What is wrong, for health."""
        return None if self._retry_at is None else "the model cannot score; the rules decide review or approve"

    def failed(self, error: Exception) -> None:
        """The model could not score some rows: open if it cannot score any."""
        if self._works():
            _LOGGER.warning("the model cannot score a row; the rules answer for it", exc_info=error)
        else:
            self._retry_at = monotonic() + _RETRY_SECONDS
            _LOGGER.error("the model cannot score; the rules answer", exc_info=error)
