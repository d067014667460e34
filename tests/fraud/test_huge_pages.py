"""Huge pages: memory is moved, not changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
PROGRAM = """
import hashlib, mmap, random
from bentos.fraud.huge_pages import use_huge_pages
block = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
block.write(random.Random(1).randbytes(16 << 20))
many = [bytes([number % 256]) * 1000 for number in range(20_000)]
before = hashlib.sha256(block).digest(), hashlib.sha256(b"".join(many)).digest()
moved = use_huge_pages()
assert (hashlib.sha256(block).digest(), hashlib.sha256(b"".join(many)).digest()) == before
print(moved)
"""


@pytest.mark.skipif(
    not ENABLED.exists() or "[never]" in ENABLED.read_text(), reason="this kernel has no transparent huge pages"
)
def test_memory_is_moved_and_stays_as_it_was() -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    # Of the 16 MiB at least the aligned seven blocks.
    assert int(found.stdout) >= 7
