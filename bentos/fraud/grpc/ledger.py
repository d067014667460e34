"""What all calls of a server share."""

from __future__ import annotations

from bentos.fraud.access.guard import Guard
from bentos.fraud.observe.observer import Observer
from bentos.fraud.room import Room

__all__ = ["Ledger"]


class Ledger(Room):
    """What all calls of a server share: an observer, a guard, and the octets of unfinished messages.

    Parameters
    ----------
    observer
        Sees every call come and go.
    budget_bytes
        Octets of unfinished messages at most.
    guard
        Says who may call; None lets everybody.
    """

    def __init__(self, observer: Observer, budget_bytes: int, guard: Guard | None = None) -> None:
        super().__init__(budget_bytes)
        self.observer = observer
        self.guard = guard
