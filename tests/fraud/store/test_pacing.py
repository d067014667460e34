"""Pages of the embedded store are written back evenly, by one process at a time."""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bentos.fraud.store import pacing
from bentos.fraud.store.pacing import WritePacer

SIZE = 4 * 1024 * 1024
PATIENCE_SECONDS = 60.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "features.store"
    path.write_bytes(bytes(SIZE))
    return path


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    fd = os.open(path, os.O_RDWR)
    try:
        os.fsync(fd)
        with closing(mmap.mmap(fd, SIZE)) as memory:
            yield memory
    finally:
        os.close(fd)


def dirty_bytes(path: Path) -> int:
    """What this process has changed in its mapping and the disk does not have."""
    smaps = Path("/proc/self/smaps").read_text()
    found = re.search(rf"^[0-9a-f]+-.*{re.escape(str(path))}\n((?:\w+:.*\n)+)", smaps, re.MULTILINE)
    assert found is not None
    return sum(int(size) * 1024 for size in re.findall(r"_Dirty: +(\d+) kB", found.group(1)))


def eventually(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def is_held(path: Path) -> bool:
    lock = os.open(path.with_name(f"{path.name}.pacer"), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def test_changed_pages_reach_the_disk(file: Path) -> None:
    with mapped(file) as memory:
        memory[:] = b"x" * SIZE
        if dirty_bytes(file) == 0:
            pytest.skip("this file system keeps no track of changed pages")
        pacer = WritePacer(file, round_seconds=0.2)
        try:
            assert eventually(lambda: dirty_bytes(file) == 0)
        finally:
            pacer.stop()


def test_one_process_works_and_the_next_takes_over(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "_TURN_SECONDS", 0.02)
    first = WritePacer(file)
    assert eventually(lambda: is_held(file))
    second = WritePacer(file)
    first.stop()
    assert eventually(lambda: is_held(file))
    second.stop()
    assert not is_held(file)


def test_a_file_that_is_gone_ends_it_with_a_word(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    pacer = WritePacer(file, round_seconds=0.05)
    assert eventually(lambda: is_held(file))
    file.unlink()
    assert eventually(lambda: "are left to the kernel" in caplog.text)
    pacer.stop()
