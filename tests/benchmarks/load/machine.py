"""What the numbers depend on: machine, versions, plan."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil

from tests.benchmarks.load.bench import Plan

__all__ = ["about_machine"]

_PACKAGES: Final = (
    "bentoml",
    "uvicorn",
    "uvloop",
    "httptools",
    "fastapi",
    "pydantic",
    "onnxruntime",
    "scikit-learn",
    "shap",
    "numpy",
)


def about_machine(plan: Plan, repeats: int) -> dict[str, str]:
    """By what it is: for the page."""
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    wrk = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, {model[1] if model else platform.machine()},"
        f" {psutil.virtual_memory().total / 2**30:.0f} GiB, Linux {platform.release().partition('-')[0]}",
        "versions": ", ".join(
            [f"Python {platform.python_version()}"]
            + [f"{name} {version(name)}" for name in _PACKAGES]
            + [" ".join((wrk.stdout + wrk.stderr).split()[:2])]
        ),
        "plan": f"median of {repeats}, closed loops of {plan.seconds} s, half of capacity for {plan.half_seconds} s,"
        f" overload for {plan.overload_seconds} s",
    }
