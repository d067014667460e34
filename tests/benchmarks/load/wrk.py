"""wrk: a closed loop over HTTP, for throughput."""

from __future__ import annotations

import json
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["WrkRun", "run_wrk"]

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class WrkRun:
    """What wrk says of a run.

    Attributes
    ----------
    per_second
        Requests answered with success, a second.
    percentiles
        Milliseconds from a request's sending to its answer, by "p50", "p95", "p99", "p999".
    requests
        All that were answered.
    errors
        By kind, those that happened.
    cpu_seconds
        wrk's own.
    """

    per_second: float
    percentiles: dict[str, float]
    requests: int
    errors: dict[str, int]
    cpu_seconds: float


def run_wrk(url: str, requests: Path, connections: int, seconds: int) -> WrkRun:
    """Send prepared requests for a while, each connection its next one when it has the answer to its last."""
    before = _children_cpu_seconds()
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--timeout", "10s", "--script", str(_SCRIPT), url, "--", str(requests)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"wrk ended with {ended.returncode}: {ended.stderr}{ended.stdout}")
    story = json.loads(ended.stdout.strip().splitlines()[-1])
    errors = {kind: story[kind] for kind in ("status", "timeout", "connect", "read", "write") if story[kind]}
    return WrkRun(
        per_second=(story["requests"] - story["status"]) / story["seconds"],
        percentiles={name: story[name] for name in ("p50", "p95", "p99", "p999")},
        requests=story["requests"],
        errors=errors,
        cpu_seconds=_children_cpu_seconds() - before,
    )


def _children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
