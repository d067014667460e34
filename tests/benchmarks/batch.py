"""Rows per second from a CSV file to a finished result, against a bare script, and the most memory that takes.

Run with ``python -m tests.benchmarks.batch [ROWS]``. Three times in turn, each in a process of its own: the bare script
(pandas, the offline features, onnxruntime), the pipeline with the same outcome, a score and a decision for each row,
and the pipeline with reasons for what is flagged; two processes score chunks side by side. Prints each one's median and
its steps, the ratio to the bare script, and the largest sum of the resident memory of the processes, which is read in
runs that are not timed: to read it takes time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from bentos.fraud.bulk.pipeline import Pipeline
    from bentos.fraud.options import Explain

_MEBIBYTE = 1024**2
_PROCESSES = 2
_REPEATS = 3
_COMPARED = {
    "bare": "bare script",
    "none": "scores and decisions",
    "flagged": "with reasons for what is flagged",
}


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


def run_pipeline(home: Path, explain: Explain) -> dict[str, float]:
    """Seconds of each step; processes are started and warm before."""
    folder = home / "work"
    shutil.rmtree(folder, ignore_errors=True)
    own = _pipeline(home)
    with ProcessPoolExecutor(_PROCESSES, multiprocessing.get_context("spawn"), _begin, (home,)) as pool:
        list(pool.map(len, [()] * _PROCESSES * 4))
        started = time.perf_counter()
        plan = own.plan(home / "in.csv", "csv", folder, explain)
        planned = time.perf_counter()
        list(pool.map(_score, [folder] * plan.chunks, range(plan.chunks)))
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


def _run(*arguments: str, watched: bool = False) -> tuple[dict[str, float], float]:
    """What a process of its own prints, and, when it is watched, the most memory of it and its children, MiB."""
    peak = 0
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.batch", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        while watched and process.poll() is None:
            peak = max(peak, _resident(psutil.Process(process.pid)))
            time.sleep(0.05)
        output, _ = process.communicate()
    return json.loads(output.splitlines()[-1]), peak / _MEBIBYTE


def _resident(process: psutil.Process) -> int:
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in (process, *process.children(recursive=True)):
            total += one.memory_full_info().pss
    return total


def _compare(home: Path, rows: int) -> None:
    found: dict[str, list[dict[str, float]]] = {what: [] for what in _COMPARED}
    for _ in range(_REPEATS):
        for what in _COMPARED:
            found[what].append(_run(what, str(home))[0])
    for what, label in _COMPARED.items():
        _, peak = _run(what, str(home), watched=True)
        middle = sorted(found[what], key=lambda seconds: seconds["all"])[_REPEATS // 2]
        ratio = statistics.median(
            bare["all"] / own["all"] for bare, own in zip(found["bare"], found[what], strict=True)
        )
        steps = ", ".join(f"{step} {value:.2f} s" for step, value in middle.items())
        print(f"{label:<36}{rows / middle['all']:>10,.0f} rows/s {ratio:>6.2f} {peak:>6,.0f} MiB   {steps}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="1000000", help="rows, 1,000,000 without it")
    parser.add_argument("home", nargs="?", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.home is not None and options.what.isdigit():
        _write_input(options.home, int(options.what))
        print("{}")
    elif options.home is not None:
        seconds = run_bare(options.home) if options.what == "bare" else run_pipeline(options.home, options.what)
        print(json.dumps(seconds))
    else:
        with tempfile.TemporaryDirectory() as name:
            home = Path(name)
            _run(options.what, str(home))
            size = (home / "in.csv").stat().st_size / _MEBIBYTE
            rows = sum(1 for _ in (home / "in.csv").open("rb")) - 1
            print(f"{rows:,} rows, {size:,.0f} MiB of CSV; ratios to the bare script")
            _compare(home, rows)


if __name__ == "__main__":
    main()
