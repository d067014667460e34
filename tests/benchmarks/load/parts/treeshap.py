"""The TreeSHAP kernel beside shap's, as the benchmark of its own measures them: one thread, no server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Final

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.results import Measurement
from tests.fraud.server import ROOT

__all__ = ["KERNEL", "measure"]

KERNEL: Final = "TreeSHAP kernel"
#: Rows, the kernel's milliseconds a row, shap's, their ratio, the largest difference; of the first forest, of depth 10.
_ROW: Final = re.compile(r"^\s*(\d+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+(\S+)$", re.MULTILINE)


def measure(bench: Bench, repeat: int) -> None:
    """Run it and read its table."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.treeshap"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    table = ended.stdout.partition("depth 10:")[2].partition("trees, depth")[0]
    for rows, own, theirs, ratio, difference in _ROW.findall(table):
        values = {
            "kernel_ms": float(own),
            "shap_ms": float(theirs),
            "ratio": float(ratio),
            "difference": float(difference),
        }
        bench.add(Measurement("treeshap", KERNEL, f"{rows} rows", 0, repeat, values))
