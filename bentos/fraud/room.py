"""Room for what clients have begun to send: each may be slow, all together must not fill the memory."""

from __future__ import annotations

from typing import Final

__all__ = ["UNFINISHED_CALLS", "Room"]

#: What a worker has room for, in calls of the largest size.
UNFINISHED_CALLS: Final = 8


class Room:
    """Octets that are held for all callers of a transport together.

    Parameters
    ----------
    octets
        At most.
    """

    def __init__(self, octets: int) -> None:
        self._left = octets

    def take(self, octets: int) -> bool:
        """Hold so many octets more, and say whether there is room; they are to be given back in any case."""
        self._left -= octets
        return self._left >= 0

    def give_back(self, octets: int) -> None:
        """Hold so many octets less."""
        self._left += octets
