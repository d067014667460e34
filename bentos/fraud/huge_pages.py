"""Huge pages for what a worker holds in memory.

Between two requests a processor forgets where pages are, soonest in a virtual machine, and finds each again at the cost
of some hundred instructions. What one request touches lies on hundreds of pages of 4 KiB, or on some tens of 2 MiB.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["use_huge_pages"]

_MAPS: Final = Path("/proc/self/maps")
_SIZE: Final = 2 << 20
_PAGE: Final = 4096
#: A block is worth a huge page when so many of its small ones are in use; the rest is the price.
_USED: Final = _SIZE // _PAGE // 2
#: Of madvise: when the kernel comes by.
_HUGEPAGE: Final = 14
#: Now; since Linux 6.1.
_COLLAPSE: Final = 25


def use_huge_pages() -> int:
    """Move this process's private memory to huge pages, as far as it is in use and the kernel has some.

    Takes some milliseconds; best when all that stays has been made.

    Returns
    -------
    int
        Blocks of 2 MiB that were moved, or will be soon.
    """
    libc = ctypes.CDLL(None)
    resident = (ctypes.c_ubyte * (_SIZE // _PAGE))()
    moved = 0
    for start, end in _private():
        for place in range(-(-start // _SIZE) * _SIZE, end - _SIZE + 1, _SIZE):
            block = ctypes.c_void_p(place), ctypes.c_size_t(_SIZE)
            if libc.mincore(*block, resident) or sum(byte & 1 for byte in resident) < _USED:
                continue
            if not libc.madvise(*block, _HUGEPAGE):
                libc.madvise(*block, _COLLAPSE)
                moved += 1
    return moved


def _private() -> Iterator[tuple[int, int]]:
    """Addresses of memory that belongs to no file and may be written."""
    for line in _MAPS.read_text().splitlines():
        addresses, rights, _, _, inode, *name = line.split()
        if rights == "rw-p" and inode == "0" and (not name or name[0] == "[heap]"):
            start, _, end = addresses.partition("-")
            yield int(start, 16), int(end, 16)
