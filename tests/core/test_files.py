"""Atomic files are there as a whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bentos.core.files import atomic_file

# The limit on file sizes is a full disk that needs no disk: write() fails with EFBIG in the middle.
FULL = """
import resource, signal, sys
from pathlib import Path
from bentos.core.files import atomic_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with atomic_file(Path(sys.argv[1])) as stream:
    stream.write(b"x" * 5000)
"""


def interrupted_write(path: Path) -> None:
    with atomic_file(path) as stream:
        stream.write(b"new")
        raise KeyboardInterrupt


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    with atomic_file(path) as stream:
        stream.write(b"old")
    with pytest.raises(KeyboardInterrupt):
        interrupted_write(path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    result = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False)
    assert "OSError" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_others_may_read_it(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        with atomic_file(tmp_path / "file") as stream:
            stream.write(b"x")
    finally:
        os.umask(mask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
