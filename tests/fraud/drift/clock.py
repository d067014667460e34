"""A clock that is set."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["Clock"]


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.seconds = datetime(2026, 6, 1, tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.seconds
