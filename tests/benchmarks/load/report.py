"""The tables of a run, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bentos.fraud.metrics import STAGES
from tests.benchmarks.load.bench import OURS, PEERS
from tests.benchmarks.load.parts import half, overload, throughput, treeshap
from tests.benchmarks.load.parts.batching import FAST, OFF, ON, SLOW
from tests.benchmarks.load.results import Results

__all__ = ["Table", "as_markdown", "as_text", "tables"]

_PERCENTILES: Final = ("p50", "p95", "p99", "p999")
_LOOP_HEAD: Final = (
    "server",
    "connections",
    "requests/s",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "p99.9 ms",
    "CPU µs/request",
    "memory MB",
    "errors",
)


@dataclass(frozen=True)
class Table:
    """A table with a title; cells are text."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def tables(results: Results) -> list[Table]:
    """Every table that has rows."""
    servers = (OURS, *PEERS)
    explain = (OURS, "FastAPI, sklearn")
    calls = (throughput.HTTP, throughput.GRPC, throughput.MULTIPLEXED)
    modes = [(model, load) for model in (FAST, SLOW) for load in (ON, OFF)]
    all_tables = [
        _loops(results, "Closed loop, explain=none", "throughput", [(name, "predict", name) for name in servers]),
        _loops(
            results,
            "Closed loop, reasons on every answer (FastAPI: shap.TreeExplainer)",
            "explain",
            [(name, "reasons on every answer", name) for name in explain],
        ),
        _loops(results, "gRPC beside HTTP, by calls at a time", "grpc", [(OURS, load, load) for load in calls]),
        _loops(
            results,
            "Micro-batching on and off",
            "batching",
            [(model, load, f"{model}, {load}") for model, load in modes],
        ),
        _half(results),
        _stages(results),
        _overload(results),
        _treeshap(results),
    ]
    return [table for table in all_tables if table.rows]


def as_text(results: Results) -> str:
    """All tables for a terminal."""
    blocks = []
    for table in tables(results):
        widths = [max(len(row[column]) for row in (table.head, *table.rows)) for column in range(len(table.head))]
        lines = [
            "  ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in (table.head, *table.rows)
        ]
        blocks.append("\n".join([table.title, *lines]))
    return "\n\n".join(blocks)


def as_markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def _loops(results: Results, title: str, part: str, wanted: list[tuple[str, str, str]]) -> Table:
    return Table(title, _LOOP_HEAD, [row for item in wanted for row in _loop_rows(results, part, *item)])


def _loop_rows(results: Results, part: str, server: str, load: str, shown: str) -> Iterator[tuple[str, ...]]:
    for connections in sorted({item.connections for item in results.find(part, server, load)}):

        def median(value: str, connections: int = connections) -> float | None:
            return results.median(value, part, server, load, connections)

        errors = results.counts(part, server, load, connections)
        yield (
            shown,
            str(connections),
            _number(median("per_second"), 0),
            *(_number(median(name), 2) for name in _PERCENTILES),
            _number(median("cpu_microseconds"), 0),
            _number(median("pss_mb"), 0),
            _counts(errors),
        )


def _half(results: Results) -> Table:
    head = (
        "server",
        "requests/s due",
        *_LOOP_HEAD[3:7],
        "longest ms",
        "sent late, p99 ms",
        "cores of the load",
        "fate",
    )
    wanted = [(OURS, load) for load in (*half.LOADS, half.POISSON)] + [(name, half.LOADS[0]) for name in half.CONTROLS]
    rows = [
        (
            f"{server}, {load}" if server == OURS else server,
            _number(results.median("offered", "half", server, load), 0),
            *(
                _number(results.median(name, "half", server, load), 2)
                for name in (*_PERCENTILES, "longest", "late_p99", "load_cores")
            ),
            _counts(results.counts("half", server, load)),
        )
        for server, load in wanted
        if results.find("half", server, load)
    ]
    return Table("Half of capacity, open loop", head, rows)


def _stages(results: Results) -> Table:
    rows = [
        (stage, *(_number(results.median(f"stage_{stage}", "half", OURS, load), 3) for load in half.LOADS))
        for stage in STAGES
        if results.find("half", OURS, half.LOADS[0])
    ]
    return Table("p99 of each stage at half of capacity, ms", ("stage", *half.LOADS), rows)


def _overload(results: Results) -> Table:
    shown = {
        "capacity": "capacity, requests/s",
        "offered": "due, requests/s",
        "sent": "sent, requests/s",
        "per_second": "answered, requests/s",
        "p50": "answered, p50 ms from when they were due",
        "p99": "answered, p99 ms from when they were due",
        "p999": "answered, p99.9 ms from when they were due",
        "sent_p99": "answered, p99 ms from when they were sent",
        "own_start_mb": "own memory when it begins, MB",
        "own_end_mb": "own memory when it ends, MB",
        "files_start_mb": "memory of files (the feature store) when it begins, MB",
        "files_end_mb": "memory of files when it ends, MB",
        "normal_after": "normal again after, s",
        "load_cores": "cores of the load",
    }
    if not results.find("overload", OURS, overload.LOAD):
        return Table("", (), [])
    at = ("overload", OURS, overload.LOAD)
    rows: list[tuple[str, ...]] = [
        (text, *(_number(results.median(name, *at, connections), 1) for connections in overload.CONNECTIONS))
        for name, text in shown.items()
    ]
    rows.append(
        ("fate, all repeats", *(_counts(results.counts(*at, connections)) for connections in overload.CONNECTIONS))
    )
    head = ("", *(f"{connections:,} connections" for connections in overload.CONNECTIONS))
    return Table(f"Overload, {overload.TIMES} times capacity", head, rows)


def _treeshap(results: Results) -> Table:
    loads = sorted(
        {item.load for item in results.measurements if item.part == "treeshap"}, key=lambda text: int(text.split()[0])
    )
    rows = [
        (
            load,
            *(
                _number(results.median(name, "treeshap", treeshap.KERNEL, load), digits)
                for name, digits in (("kernel_ms", 4), ("shap_ms", 3), ("ratio", 1))
            ),
            f"{results.median('difference', 'treeshap', treeshap.KERNEL, load):.0e}",
        )
        for load in loads
    ]
    head = ("call", "kernel, ms a row", "shap, ms a row", "ratio", "largest difference")
    return Table("TreeSHAP, 100 trees of depth 10, one thread", head, rows)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{kind}: {number:,}" for kind, number in sorted(counts.items())) or "none"
