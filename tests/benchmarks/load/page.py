"""The page of a run, in Markdown, with its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.benchmarks.load.parts import overload
from tests.benchmarks.load.pictures import draw_latency, draw_throughput
from tests.benchmarks.load.reach import reach_table
from tests.benchmarks.load.report import as_markdown, tables
from tests.benchmarks.load.results import Results
from tests.benchmarks.load.traffic import BODIES, CUSTOMERS

__all__ = ["write_page"]

_HEAD: Final = """\
# Serving under load

Made by `python -m tests.benchmarks.load`, which measures everything below in one run. Compare numbers within this page
only: the load generator runs on the same cores as the server.
"""
_METHOD: Final = f"""\
## How it is measured

- Every server serves the same forest, 100 trees of depth 10, with two workers on two cores; each runs alone, in turn,
  and the turns repeat, so that a machine that drifts does so for all. Ratios are of the same repeat; what is shown is
  the median over the repeats.
- This service is the built bento with default settings. It gets transactions, {BODIES:,} bodies of {CUSTOMERS:,}
  customers in order of time, looks their features up, records them, counts and logs. The peers get the 21 features
  ready and answer score and decision; they look nothing up and keep nothing. The no-op server reads nothing and
  answers a constant: what the machine and the load itself cost.
- Closed loops (wrk; gRPC and HTTP beside it by a generator of our own): each connection sends its next request when it
  has the answer to its last. Good for throughput; its percentiles leave out the requests that a stall kept from being
  sent.
- Open loops (`tests/benchmarks/load/generator.c`): requests are due at constant intervals, whatever became of the
  earlier ones, and latency counts from when a request was due. So it holds the generator's own lateness too, which the
  table shows ("sent late"), and the machine's, which the controls show.
- Capacity is what a closed loop of 64 connections got right before, of the same process.
- Overload: {overload.CONNECTIONS[0]:,} connections, and {overload.CONNECTIONS[1]:,} to see where it ends; a request
  waits {overload.PATIENCE_MILLISECONDS} ms for a free one at most, then it is given up ("not sent"); each says how much
  is left of its deadline of {overload.DEADLINE_MILLISECONDS} ms. The answered ones' latency counts from when they were
  due. Normal again: from the first second in which 99 % of all requests are answered within 50 ms.
- The model of 5 ms a call is the forest behind products of matrices of a fixed size, which cost about the same for one
  row as for 64, like a large network or a model behind a network.
- Memory is the proportional set size of all processes of a server, at the end of the run. Stages are from the service's
  own histograms, linear within a bucket.
"""


def write_page(results: Results, folder: Path) -> None:
    """Write ``load.md`` and ``images/load*.png`` into a folder."""
    lines = [_HEAD, *(f"- {name}: {text}" for name, text in results.about.items())]
    lines += ["", "## What it has to reach", "", *reach_table(results), ""]
    if draw_throughput(results, folder / "images" / "load_throughput.png"):
        lines += ["![Requests a second and p99 by connections](images/load_throughput.png)", ""]
    if draw_latency(results, folder / "images" / "load_latency.png"):
        lines += ["![Latency at half of capacity, and under overload](images/load_latency.png)", ""]
    lines.append(_METHOD)
    for table in tables(results):
        lines += [f"## {table.title}", "", *as_markdown(table.head, table.rows), ""]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "load.md").write_text("\n".join(lines))
