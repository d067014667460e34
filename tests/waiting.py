"""Waiting for what comes about by itself, for as long as a busy machine may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["eventually"]

_SECONDS = 60.0


def eventually(holds: Callable[[], Any]) -> Any:
    """What a look finds as soon as it finds something; fails when nothing comes of it."""
    limit = time.monotonic() + _SECONDS
    while not (found := holds()):
        assert time.monotonic() < limit, "it did not come about"
        time.sleep(0.02)
    return found
