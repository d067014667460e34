"""A model in this process against one on another server: ``python -m tests.benchmarks.remote_model``.

One run, side by side: the same worker, the same rows, once with its own model and once with that of a second instance
of this service in a process of its own. Callers ask without pause; rounds alternate, so that what else runs on the
machine touches both alike. All is on one machine, so the network is its loopback: add your own round trip to each
latency.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from time import perf_counter

import numpy as np

from bentos.core.transaction import Transaction
from bentos.fraud.application import Application, open_application
from bentos.fraud.options import PredictOptions
from bentos.fraud.records.database import upgrade
from bentos.fraud.settings import ScoringSettings
from tests.fraud.artifacts import make_champion
from tests.fraud.requests import NOON, transaction
from tests.fraud.server import environment, running_server
from tests.ports import free_port

_ASK = PredictOptions("none", record=False)
_CALLERS = (1, 16, 64)
#: Trees and their depth.
_FORESTS = ((100, 10), (500, 14))
_ROUNDS = 3


async def _round(application: Application, rows: Sequence[Transaction], callers: int, seconds: float) -> list[float]:
    """Latencies, seconds, of callers who ask without pause."""
    latencies: list[float] = []
    end = perf_counter() + seconds

    async def ask(first: int) -> None:
        number = first
        while (started := perf_counter()) < end:
            prediction = await application.predictor.predict(rows[number % len(rows)], _ASK)
            if "model" in prediction.degraded:
                raise RuntimeError("the rules answered; what was measured is not the model")
            latencies.append(perf_counter() - started)
            number += callers
            # A lone local call never gives the loop to the others by itself.
            await asyncio.sleep(0)

    await asyncio.gather(*(ask(number) for number in range(callers)))
    return latencies


def _report(name: str, latencies: Sequence[float], seconds: float) -> None:
    middle, late = (float(np.percentile(latencies, q)) * 1000 for q in (50, 99))
    print(f"  {name:7} {len(latencies) / seconds:9,.0f} requests/s   p50 {middle:7.2f} ms   p99 {late:7.2f} ms")


def _measure(trees: int, depth: int, seconds: float) -> None:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_champion(folder / "there", trees=trees, depth=depth)
        shutil.copytree(folder / "there", folder / "here")
        port = free_port()
        grpc = {"FRAUD_GRPC_HOST": "127.0.0.1", "FRAUD_GRPC_PORT": str(port)}
        stack.enter_context(running_server(environment(folder / "there", **grpc)))
        runner = stack.enter_context(asyncio.Runner())
        places = {}
        for name, url in (("local", None), ("remote", f"grpc://127.0.0.1:{port}")):
            settings = ScoringSettings(
                home=folder / "here",
                model_url=url,
                model_timeout_milliseconds=5000,
                deadline_milliseconds=60_000,
                job_processes=0,
            )
            upgrade(settings)
            places[name] = open_application(settings)
            stack.callback(lambda opened=places[name]: runner.run(opened.close()))
            runner.run(places[name].warm_up())
        rows = [transaction(amount=float(n), timestamp=(NOON + timedelta(minutes=n)).isoformat()) for n in range(500)]
        print(f"{trees} trees of depth {depth}")
        for callers in _CALLERS:
            found: dict[str, list[float]] = {name: [] for name in places}
            for _ in range(_ROUNDS):
                for name, application in places.items():
                    found[name] += runner.run(_round(application, rows, callers, seconds))
            print(f" {callers} callers")
            for name, latencies in found.items():
                _report(name, latencies, seconds * _ROUNDS)


def main() -> None:
    """Print requests a second and latencies of both."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one round; there are 36")
    seconds = parser.parse_args().seconds
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f},"
        f" Python {platform.python_version()}"
    )
    for trees, depth in _FORESTS:
        _measure(trees, depth, seconds)


if __name__ == "__main__":
    main()
