"""The folder in memory: one's own, gone in the end, and others' that were left are removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bentos.fraud.jobs import quick
from bentos.fraud.jobs.quick import quick_folder
from tests.fraud.server import ROOT


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the machine's."""
    monkeypatch.setattr(quick, "_MEMORY", tmp_path)
    return tmp_path


def test_it_is_private_and_goes(memory: Path) -> None:
    with quick_folder() as first, quick_folder() as second:
        assert first != second
        assert first.parent == memory
        assert first.stat().st_mode & 0o077 == 0
    assert list(memory.iterdir()) == []


def test_what_a_killed_process_left_is_removed(memory: Path) -> None:
    script = f"""
import time
from pathlib import Path
from bentos.fraud.jobs import quick
quick._MEMORY = Path({str(memory)!r})
with quick.quick_folder() as folder:
    (folder / "rows").write_text("x")
    print("made", flush=True)
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    (left,) = memory.iterdir()
    _age(left)
    with quick_folder():
        assert (left / "rows").exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with quick_folder():
        assert not left.exists()


def test_what_is_new_is_left_alone(memory: Path) -> None:
    """Its process may not have locked it yet."""
    other = memory / "fraud-jobs-other"
    other.mkdir()
    with quick_folder():
        assert other.exists()
    _age(other)
    with quick_folder():
        assert not other.exists()


def _age(folder: Path) -> None:
    long_ago = time.time() - 3600
    os.utime(folder, (long_ago, long_ago))
