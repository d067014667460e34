"""Rows per second from a CSV file to a finished result, against a bare script, and the most memory that takes.

Run with ``python -m tests.benchmarks.batch [ROWS]``. Prints the pipeline's steps with one process and with two that
score chunks side by side, the bare script (pandas, the offline features, onnxruntime) in a process of its own, their
ratio, and the largest sum of the resident memory of the pipeline's processes.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from bentos.fraud.bulk.pipeline import Pipeline

_MEBIBYTE = 1024**2


def _pipeline(home: Path) -> Pipeline:
    from bentos.core.artifact import read_artifact
    from bentos.core.features.pseudonyms import Pseudonyms
    from bentos.fraud.bulk.memory import spare_memory
    from bentos.fraud.bulk.pipeline import Pipeline
    from bentos.fraud.scorer import Scorer
    from bentos.fraud.settings import ScoringSettings
    from bentos.fraud.store import EmbeddedStore

    spare_memory()
    names = Pseudonyms("secret")
    store = EmbeddedStore(home / "real.store", names)
    scorer = Scorer(read_artifact(home / "champion" / "artifact", public_key=None))
    return Pipeline(scorer, store, names, ScoringSettings(home=home))


def _begin(home: Path) -> None:
    globals()["_OPEN"] = _pipeline(home)


def _score(folder: Path, chunk: int) -> int:
    return globals()["_OPEN"].score(folder, chunk).rows


def run_pipeline(home: Path, workers: int) -> dict[str, float]:
    """Seconds of each step; processes are started and warm before."""
    folder = home / "work"
    shutil.rmtree(folder, ignore_errors=True)
    own = _pipeline(home)
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (home,)) as pool:
        list(pool.map(len, [()] * workers * 4))
        started = time.perf_counter()
        plan = own.plan(home / "in.csv", "csv", folder)
        planned = time.perf_counter()
        if plan.chunks > 1 and workers > 1:
            list(pool.map(_score, [folder] * plan.chunks, range(plan.chunks)))
        else:
            for chunk in range(plan.chunks):
                own.score(folder, chunk)
        scored = time.perf_counter()
        own.finish(folder, plan.chunks)
        ended = time.perf_counter()
    return {"plan": planned - started, "score": scored - planned, "finish": ended - scored, "all": ended - started}


def run_bare(home: Path) -> dict[str, float]:
    """Seconds of the bare script: no validation, no history, no reasons, everything in memory."""
    import numpy as np
    import onnxruntime
    import pandas as pd

    from bentos.core.features import feature_table

    session = onnxruntime.InferenceSession(str(home / "champion" / "artifact" / "model.onnx"))
    started = time.perf_counter()
    table = pd.read_csv(home / "in.csv")
    given = table["timestamp"]
    table["timestamp"] = pd.to_datetime(given, format="ISO8601", utc=True).astype("datetime64[us, UTC]")
    local = pd.to_datetime(given.str.slice(0, 26), format="ISO8601").to_numpy("datetime64[us]").astype("int64")
    table["utc_offset_seconds"] = (local - table["timestamp"].astype("int64")) // 1_000_000
    table = table.sort_values("timestamp", kind="stable")
    score = session.run(["score"], {"features": feature_table(table).astype(np.float32)})[0]
    table.assign(score=score).sort_index().to_parquet(home / "bare.parquet")
    return {"all": time.perf_counter() - started}


def _write_input(home: Path, rows: int) -> None:
    # The libraries of training, which no process that is measured has.
    from tests.benchmarks.data import benchmark_transactions
    from tests.fraud.artifacts import make_champion
    from tests.fraud.bulk.tables import as_sent

    make_champion(home, trees=100, depth=10)
    as_sent(benchmark_transactions().head(rows)).drop(columns=["is_fraud", "label_timestamp"], errors="ignore").to_csv(
        home / "in.csv", index=False
    )


def _measured(home: Path, *arguments: str) -> tuple[dict[str, float], float]:
    """What a process of its own prints, and the most memory of it and its children, MiB."""
    command = [sys.executable, "-m", "tests.benchmarks.batch", *arguments, str(home)]
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        parent = psutil.Process(process.pid)
        done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.05):
                total = 0
                try:
                    for one in (parent, *parent.children(recursive=True)):
                        total += one.memory_full_info().pss
                except psutil.NoSuchProcess:
                    continue
                peak = max(peak, total)

        watcher = threading.Thread(target=watch)
        watcher.start()
        output, _ = process.communicate()
        done.set()
        watcher.join()
    return json.loads(output.splitlines()[-1]), peak / _MEBIBYTE


def main() -> None:
    """Print the table."""
    if len(sys.argv) == 3:
        what, home = sys.argv[1], Path(sys.argv[2])
        print(json.dumps(run_bare(home) if what == "bare" else run_pipeline(home, int(what))))
        return
    if len(sys.argv) == 4:
        _write_input(Path(sys.argv[3]), int(sys.argv[2]))
        print("{}")
        return
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        _measured(home, "write", str(rows))
        rows = sum(1 for _ in (home / "in.csv").open("rb")) - 1
        print(f"{rows:,} rows, {(home / 'in.csv').stat().st_size / _MEBIBYTE:,.0f} MiB of CSV")
        best: dict[str, float] = {}
        for what in ("1", "2", "bare", "2", "bare"):
            seconds, peak = _measured(home, what)
            label = "bare script" if what == "bare" else f"pipeline, {what} process(es)"
            steps = ", ".join(f"{step} {value:.2f} s" for step, value in seconds.items())
            print(f"{label:<24}{rows / seconds['all']:>10,.0f} rows/s  {peak:>6,.0f} MiB   {steps}")
            best[what] = min(best.get(what, 1e9), seconds["all"])
        print(f"pipeline with two processes / bare script: {best['bare'] / best['2']:.2f}")


if __name__ == "__main__":
    main()
