"""What the service has to reach, and whether it did, computed from a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.load.bench import OURS
from tests.benchmarks.load.parts import half, overload, throughput, treeshap
from tests.benchmarks.load.parts.batching import FAST, OFF, ON, SLOW
from tests.benchmarks.load.report import as_markdown
from tests.benchmarks.load.results import Results

__all__ = ["Row", "reach", "reach_table"]

_STOCK: Final = ("BentoML, stock batching", "predict")
_SKLEARN: Final = ("FastAPI, sklearn", "predict")
_ONNX: Final = ("FastAPI, onnxruntime", "predict")
_OWN: Final = (OURS, "predict")
_EXPLAINED: Final = "reasons on every answer"
_STAGE_MILLISECONDS: Final = {"validation": 1, "features": 2, "inference": 5, "reasons": 10, "serialization": 2}
_ANSWER_MILLISECONDS: Final = {"p50": 10, "p95": 30, "p99": 50, "p999": 100}
#: Own memory may grow by this much and still be flat: the collector's rhythm alone moves it that far.
_FLAT: Final = 1.05
_NORMAL_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Row:
    """One line: what is measured, what is needed, what was measured, and for each number whether it is enough."""

    what: str
    needed: str
    measured: str
    met: bool


class _Missing(Exception):
    """It was not measured."""


def reach(results: Results) -> list[Row]:
    """Every line that was measured."""
    rows = []
    for line in _LINES:
        try:
            rows.append(line(results))
        except _Missing:
            continue
    return rows


def reach_table(results: Results) -> list[str]:
    """The lines as a table in Markdown."""
    rows = [(row.what, row.needed, row.measured, "yes" if row.met else "**no**") for row in reach(results)]
    return as_markdown(("", "needed", "measured", "met"), rows)


def _there(value: float | None) -> float:
    if value is None:
        raise _Missing
    return value


def _stock(results: Results) -> Row:
    faster = _there(results.ratio("per_second", "throughput", _OWN, _STOCK, 64))
    sooner = _there(results.ratio("p99", "throughput", _STOCK, _OWN, 64))
    return Row(
        "/predict at 64 connections against stock BentoML batching",
        "5 × requests/s, p99 a fifth",
        f"{faster:.1f} ×, p99 1/{sooner:.1f}",
        faster >= 5 and sooner >= 5,
    )


def _alone(results: Results) -> Row:
    sklearn = _there(results.ratio("p50", "throughput", _SKLEARN, _OWN, 1))
    onnx = _there(results.ratio("p50", "throughput", _OWN, _ONNX, 1))
    return Row(
        "/predict at 1 connection, p50 against FastAPI with sklearn and with onnxruntime",
        "≤ 1/12, ≤ 1.2 ×",
        f"1/{sklearn:.1f}, {onnx:.2f} ×",
        sklearn >= 12 and onnx <= 1.2,
    )


def _onnx(results: Results) -> Row:
    ratio = _there(results.ratio("per_second", "throughput", _OWN, _ONNX, 64))
    return Row(
        "/predict at 64 connections against FastAPI with onnxruntime", "1.0 × requests/s", f"{ratio:.2f} ×", ratio >= 1
    )


def _reasons(results: Results) -> Row:
    ratio = _there(results.ratio("per_second", "explain", (OURS, _EXPLAINED), ("FastAPI, sklearn", _EXPLAINED), 64))
    return Row(
        "/predict with explain=all at 64 connections against FastAPI with TreeExplainer",
        "10 × requests/s",
        f"{ratio:.1f} ×",
        ratio >= 10,
    )


def _kernel(results: Results) -> Row:
    at = ("treeshap", treeshap.KERNEL, "1000 rows")
    ratio, difference = _there(results.median("ratio", *at)), _there(results.median("difference", *at))
    return Row(
        "TreeSHAP kernel against shap.TreeExplainer, 1,000 rows, one thread",
        "10 ×, within 1e-9",
        f"{ratio:.1f} ×, {difference:.0e}",
        ratio >= 10 and difference <= 1e-9,
    )


def _kernel_row(results: Results) -> Row:
    taken = _there(results.median("kernel_ms", "treeshap", treeshap.KERNEL, "1 rows"))
    return Row("TreeSHAP kernel, one row", "≤ 0.5 ms", f"{taken:.3f} ms", taken <= 0.5)


def _batching(results: Results) -> Row:
    alone = _there(results.ratio("per_second", "batching", (FAST, ON), (FAST, OFF), 1))
    slow = _there(results.ratio("per_second", "batching", (SLOW, ON), (SLOW, OFF), 64))
    return Row(
        "micro-batching on against off: 1 connection; 64 connections and a model of 5 ms a call",
        "≥ 0.95 ×; 3 ×",
        f"{alone:.2f} ×; {slow:.1f} ×",
        alone >= 0.95 and slow >= 3,
    )


def _overload(results: Results) -> Row:
    at = ("overload", OURS, overload.LOAD, overload.CONNECTIONS[0])
    p99, normal = _there(results.median("p99", *at)), _there(results.median("normal_after", *at))
    start, end = _there(results.median("own_start_mb", *at)), _there(results.median("own_end_mb", *at))
    wrong = sum(number for kind, number in results.counts(*at).items() if kind.startswith("5") and kind != "503")
    return Row(
        f"overload at {overload.TIMES} × capacity, {overload.CONNECTIONS[0]:,} connections",
        f"no 500; accepted p99 ≤ {overload.DEADLINE_MILLISECONDS} ms; memory flat; normal in {_NORMAL_SECONDS:.0f} s",
        f"{wrong}; {p99:.0f} ms; {start:.0f} → {end:.0f} MB; {normal:.1f} s",
        not wrong and p99 <= overload.DEADLINE_MILLISECONDS and end <= _FLAT * start and normal <= _NORMAL_SECONDS,
    )


def _half(results: Results) -> Row:
    p99, p999 = (_there(results.median(name, "half", OURS, half.LOADS[0])) for name in ("p99", "p999"))
    return Row(
        "half of capacity, open loop",
        "p99 < 50 ms, p99.9 < 100 ms",
        f"{p99:.1f}, {p999:.1f} ms",
        p99 < 50 and p999 < 100,
    )


def _stages(results: Results) -> Row:
    # Without reasons, as everything that does not say otherwise.
    stages = {
        stage: _there(
            results.median(f"stage_{stage}", "half", OURS, "explain=all" if stage == "reasons" else half.LOADS[0])
        )
        for stage in _STAGE_MILLISECONDS
    }
    whole = {name: _there(results.median(name, "half", OURS, half.LOADS[0])) for name in _ANSWER_MILLISECONDS}
    return Row(
        "at half of capacity: p99 of " + ", ".join(_STAGE_MILLISECONDS) + "; whole answer p50, p95, p99, p99.9",
        f"{_listed(_STAGE_MILLISECONDS, 0)}; {_listed(_ANSWER_MILLISECONDS, 0)} ms",
        f"{_listed(stages, 2)}; {_listed(whole, 1)} ms",
        all(stages[name] <= most for name, most in _STAGE_MILLISECONDS.items())
        and all(whole[name] <= most for name, most in _ANSWER_MILLISECONDS.items()),
    )


def _grpc(results: Results) -> Row:
    http = (OURS, throughput.HTTP)
    alone, shared = (
        _there(results.ratio("per_second", "grpc", (OURS, load), http, 64))
        for load in (throughput.GRPC, throughput.MULTIPLEXED)
    )
    return Row(
        "gRPC predict against HTTP, 64 calls at a time: a connection each; 16 on a connection, as gRPC's clients do",
        "1.2 × requests/s",
        f"{alone:.2f} ×; {shared:.2f} ×",
        shared >= 1.2,
    )


def _listed(values: dict[str, float] | dict[str, int], digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values.values())


_LINES: Final[tuple[Callable[[Results], Row], ...]] = (
    _stock,
    _alone,
    _onnx,
    _reasons,
    _kernel,
    _kernel_row,
    _batching,
    _overload,
    _half,
    _stages,
    _grpc,
)
