"""Micro-batching on and off, with the forest and with a model that takes its time for every call."""

from __future__ import annotations

from typing import Final

from tests.benchmarks.load.bench import OURS, Bench

__all__ = ["FAST", "OFF", "ON", "SLOW", "measure"]

ON: Final = "batches"
OFF: Final = "FRAUD_BATCH_SIZE=1"
FAST: Final = "forest"
SLOW: Final = "5 ms a call"
_CONNECTIONS: Final = (1, 64)


def measure(bench: Bench, repeat: int) -> None:
    """Drive the service four times."""
    for model in (FAST, SLOW):
        for load in (ON, OFF) if repeat % 2 == 0 else (OFF, ON):
            settings = {"FRAUD_BATCH_SIZE": "1"} if load == OFF else {}
            if model == SLOW:
                # One by one, 64 clients wait longer than the default allows.
                settings["FRAUD_DEADLINE_MILLISECONDS"] = "5000"
            with bench.running(OURS, slow=model == SLOW, **settings) as server:
                for connections in _CONNECTIONS:
                    bench.wrk("batching", server, model, load, "explain=none", connections, repeat)
