from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bentos.core.errors import Unavailable
from bentos.fraud.store.file_lock import FileLock

HOLDER = """
import sys, time
from pathlib import Path
from bentos.fraud.store.file_lock import FileLock
with FileLock(Path(sys.argv[1])).held(60.0):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_holds_it_at_a_time(tmp_path: Path) -> None:
    one, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    with one.held(60.0), pytest.raises(TimeoutError), other.held(0.01):
        pytest.fail("both hold it")
    with other.held(60.0):
        pass
    one.close()
    other.close()


def test_a_killed_holder_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        lock = FileLock(path)
        with pytest.raises(TimeoutError), lock.held(0.01):
            pytest.fail("both hold it")
        holder.kill()
    with lock.held(60.0):
        pass
    lock.close()


def test_a_lock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="lock"):
        FileLock(tmp_path / "file" / "lock")
