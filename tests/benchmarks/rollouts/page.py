"""The tables of docs/rollout_verdicts.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from k8s.rollout.margins import MARGINS, Rates
from tests.benchmarks.rollouts.measure import COMPARED, HARMS, SPLITS, WEIGHT, measured
from tests.benchmarks.rollouts.scenarios import SCENARIOS, Floats

__all__ = ["tables", "write_page"]

_BEGIN: Final = "<!-- made by python -m tests.benchmarks.rollouts -->\n"
_END: Final = "<!-- until here -->\n"
_PICTURE: Final = "\n![How rollouts end, what they take](images/rollouts.png)\n"


def write_page(results: Path, page: Path) -> None:
    """Put the tables, and the picture beside the page, between its marks."""
    text = page.read_text()
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(before + _BEGIN + tables(results) + _PICTURE + _END + after)


def tables(results: Path) -> str:
    """All tables, by what was measured."""
    parts = (_played(results), _detected(results), _planned(results), _compared(results))
    return "\n".join(parts)


def at(values: Floats, level: float) -> float:
    """A quantile, one of the values."""
    return float(np.quantile(values, level, method="higher"))


def _number(value: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else "never"


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _table(heads: tuple[str, ...], rows: list[str]) -> str:
    return "\n".join([_row(*heads), "|" + "---|" * len(heads), *rows]) + "\n"


def _played(results: Path) -> str:
    rows, count = [], 0
    for scenario in SCENARIOS:
        found = measured(f"rollout {scenario.name}", results)
        ended, count = found["ended"], len(found["ended"])
        back, shadow = ended == 2, found["answered"] == 0
        hours = found["seconds"] / 3_600
        cells = (
            f"{(ended == 1).sum():,}",
            f"{(back & shadow).sum():,}",
            f"{(back & ~shadow).sum():,}",
            f"{(ended == 0).sum():,}",
            f"{np.median(hours):.2f}, {at(hours, 0.99):.2f}",
            f"{_number(np.median(found['copied']))}, {_number(np.median(found['answered']))}",
            f"{found['harmed'].mean():,.0f}",
        )
        rows.append(_row(scenario.name, *cells))
    heads = (
        *("challenger", "promoted", "rolled back in shadow", "rolled back later", "open after 10 h"),
        *("hours, median and 99 %", "copies and requests answered, median", "customers harmed, mean"),
    )
    return f"### Whole rollouts, {count:,} of each challenger\n\n" + _table(heads, rows)


def _detected(results: Path) -> str:
    rows = []
    for name in HARMS:
        stages = {"in shadow": f"shadow {name}"} | {f"{weight} %": f"split {weight} {name}" for weight in SPLITS}
        for stage, measurement in stages.items():
            failed = measured(measurement, results)["failed"]
            share = f"{(failed <= 10_000).sum():,} of {len(failed):,}"
            rows.append(_row(name, stage, _number(np.median(failed)), _number(at(failed, 0.99)), share))
    heads = ("harm from the beginning", "traffic", "requests, median", "99 %", "found within 10,000")
    return "### Requests of the challenger until harm is found\n\n" + _table(heads, rows)


def _planned(results: Path) -> str:
    rows = []
    for name, counted, harm, equal in (
        ("errors 0.1 → 0.2 %", "copies", "errors doubled", "errors equal"),
        ("a fifth of recall lost", "labelled frauds", "recall lost", "recall equal"),
    ):
        found, good = measured(harm, results), measured(equal, results)
        failed = np.where(found["failed"] <= found["passed"], found["failed"], np.inf)
        within = f"{(failed <= 1.5 * found['fixed']).sum():,} of {len(failed):,}"
        cells = (_number(found["fixed"]), _number(found["sequential"]), _number(np.median(failed)))
        wrong = int(np.isfinite(good["failed"]).sum())
        rows.append(_row(name, counted, *cells, _number(at(failed, 0.99)), within, f"{wrong} of {len(failed):,}"))
    heads = (
        *("planned harm", "counted", "one look, as printed", "gate, as printed", "found: median", "99 %"),
        *("found within 1.5 × one look", "equal challenger failed"),
    )
    return "### Planned harm, against a test with one look\n\n" + _table(heads, rows)


def _compared(results: Path) -> str:
    found: Any = measured("compared", results)
    rows = []
    for name in COMPARED:
        gates, limits = found[f"{name}: gates"], found[f"{name}: thresholds"]
        cells = [
            f"{_number(np.median(item))}, {_number(at(item, 0.99))}, {np.isinf(item).sum()} missed"
            for item in (gates, limits)
        ]
        rows.append(_row(name, *cells))
    limits = found["limits"]
    text = (
        f"### Fixed thresholds, tuned on equal challengers of the same traffic, {WEIGHT} %\n\n"
        f"{len(found['equal'])} canaries of each, watched for two hours. Thresholds: errors {limits[0]:.2%}, p99"
        f" {1_000 * limits[1]:.1f} ms, alerts {limits[2]:.2%}, mean bucket of scores {limits[3]:.2f}; they fail 0.5 %"
        f" of the equal ones, the gates failed {np.isfinite(found['equal']).sum()} of {len(found['equal'])}.\n\n"
    )
    heads = ("harm from the beginning", "gates: requests until found, median and 99 %", "thresholds")
    return text + _table(heads, rows)


def margins_table() -> str:
    """The defaults of all gates."""
    rates = Rates()
    rows = [
        _row(
            gate,
            *(f"{size:g}" for size in (item.tolerated, item.margin, item.harm)),
            f"{item.floor:g}" if item.floor else "",
            f"{rates.fail_share(gate):.5f}",
        )
        for gate, item in MARGINS.items()
    ]
    return (
        _table(("gate", "tolerated", "margin", "planned harm", "floor", "false alarms"), rows)
        + f"\nFalse alarm of all gates together {rates.false_alarm:g}, wrong pass of a gate {rates.missed:g}.\n"
    )
