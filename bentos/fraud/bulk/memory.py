"""Memory of the processes that score whole files."""

from __future__ import annotations

import ctypes
from typing import Final

import pyarrow as pa

__all__ = ["give_back", "spare_memory"]

#: glibc's M_MMAP_THRESHOLD.
_THRESHOLD: Final = -3
_BYTES: Final = 1024**2


def spare_memory() -> None:
    """Make this process give back what it needed for a moment: half of what a large file takes otherwise.

    glibc raises the size from which a block is a mapping of its own, and so goes back at once, with each that is freed;
    a file's blocks then fill its heap with holes. Arrow's own allocator keeps what is free for seconds.
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if change is not None:
        change(_THRESHOLD, _BYTES)
    pa.set_memory_pool(pa.system_memory_pool())


def give_back() -> None:
    """Give back what is free now; takes some milliseconds."""
    pa.default_memory_pool().release_unused()
