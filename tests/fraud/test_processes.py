"""Processes beside a server stand back for it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os
from pathlib import Path
from bentos.fraud.processes import stand_back
group = Path("/proc/self/autogroup")
grouped = group.exists() and group.read_text() != ""
stand_back(7)
print(os.nice(0), group.read_text().split()[-1] if grouped else "no group")
"""


def test_niceness_counts_between_sessions_too() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, start_new_session=True
    )
    own, group = done.stdout.rstrip().split(" ", 1)
    assert int(own) >= 7
    # A kernel that does not group processes by session has no such file, or an empty one.
    assert group in ("7", "no group")
