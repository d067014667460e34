"""From what was measured to what 10,000 and 1,000,000 transactions a second need.

Run with ``python -m tests.benchmarks.scaling``; ``--write`` puts the tables into docs/scaling.md. The figures are read
from the pages that tell of the measurements, so that one which is measured anew is carried on, or missed by a test.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final

__all__ = ["ASSUMED", "FIGURES", "PAGE", "Need", "main", "measured", "needs", "tables"]

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "scaling.md"
RATES: Final = (10_000, 1_000_000)
_BEGIN, _END = "<!-- made by python -m tests.benchmarks.scaling --write -->\n", "<!-- until here -->\n"
_NUMBER: Final = r"([\d,.]+)"
_DAY: Final = 86_400


@dataclass(frozen=True)
class Figure:
    """A measured number and where it stands.

    Parameters
    ----------
    what
        It is, with its unit.
    page
        That tells it.
    pattern
        Finds it there, once, as the first group.
    """

    what: str
    page: str
    pattern: str

    def read(self) -> float:
        """The number on the page."""
        found = re.findall(self.pattern, (ROOT / self.page).read_text(), re.MULTILINE)
        if len(found) != 1:
            raise ValueError(f"{self.page} tells {self.what} {len(found)} times; the pattern of it has to find one")
        return float(found[0].replace(",", ""))


FIGURES: Final = {
    "cpu": Figure(
        "CPU of /predict, µs",
        "docs/load.md",
        r"## Closed loop, explain=none\n(?:.*\n)*?\| this service \| 64 \|(?:[^|]*\|){5} " + _NUMBER + r" \|",
    ),
    "cpu_reasons": Figure(
        "CPU of /predict with reasons, µs",
        "docs/load.md",
        r"## Closed loop, reasons on every answer.*\n(?:.*\n)*?\| this service \| 64 \|(?:[^|]*\|){5} "
        + _NUMBER
        + r" \|",
    ),
    "memory": Figure("memory of a pod, MB", "docs/decisions/0016-images.md", rf"working set is\s+{_NUMBER} MB"),
    "script": Figure(
        "one thread of Redis for a transaction, µs",
        "docs/feature_store.md",
        rf"\| a long past, a million events before \| {_NUMBER} \|",
    ),
    "log": Figure(
        "predictions a second that one process puts into PostgreSQL",
        "docs/decisions/0010-records.md",
        rf"predictions a second, one process with a whole core \| [\d,]+ \| {_NUMBER} \|",
    ),
    "batch": Figure("batch scoring on two cores, rows/s", "README.md", rf"benchmarks\.batch`\) \| {_NUMBER} rows/s"),
    "request": Figure("request to /predict, bytes", "docs/scaling.md", rf"request {_NUMBER} bytes"),
    "answer": Figure("its answer, bytes", "docs/scaling.md", rf"answer {_NUMBER} bytes"),
    "customer": Figure("customer of 30 events in Redis, bytes", "docs/scaling.md", rf"30 events: {_NUMBER} bytes"),
    "merchant": Figure("key of 4,096 events in Redis, bytes", "docs/scaling.md", rf"4,096 events: {_NUMBER} bytes"),
    "to_redis": Figure("a lookup to Redis, bytes", "docs/scaling.md", rf"lookup sends {_NUMBER}"),
    "from_redis": Figure("and back, bytes", "docs/scaling.md", rf"lookup sends [\d,]+, receives {_NUMBER}"),
    "row": Figure("prediction in PostgreSQL, bytes", "docs/scaling.md", rf"prediction: {_NUMBER} bytes"),
}
#: What depends on whose payments they are, and how much room one wants.
ASSUMED: Final = {
    "share of a core, or of Redis' thread, that is used at the peak": 0.5,
    "peak over mean": 3.0,
    "transactions of a customer a day": 1.0,
    "transactions of a merchant a day": 100.0,
    "memory of a Redis that is used, GB": 32.0,
    "days that predictions are kept": 400.0,
}
_BUSY, _PEAK, _CUSTOMER_DAY, _MERCHANT_DAY, _REDIS_GB, _KEPT_DAYS = ASSUMED.values()
#: Windows of merchants look 30 days back from 7 days ago.
_MERCHANT_DAYS: Final = 37
_EXACT: Final = 4096


@dataclass(frozen=True)
class Need:
    """What a rate needs, in the units of the table."""

    cores: float
    memory_gb: float
    client_megabits: float
    redis_by_thread: int
    redis_by_memory: int
    redis_gb: float
    redis_megabits: float
    writers: float
    day_gb: float
    kept_tb: float
    batch_core_hours: float


def measured() -> dict[str, float]:
    """Every figure, from its page."""
    return {name: figure.read() for name, figure in FIGURES.items()}


def needs(rate: float, figures: dict[str, float]) -> Need:
    """What so many transactions a second need at the peak.

    Parameters
    ----------
    rate
        Transactions a second at the peak.
    figures
        See :func:`measured`.
    """
    day = rate / _PEAK * _DAY
    cores = rate * figures["cpu"] / 1e6 / _BUSY
    merchant_events = min(_MERCHANT_DAY * _MERCHANT_DAYS, _EXACT)
    state = (
        day / _CUSTOMER_DAY * figures["customer"] + day / _MERCHANT_DAY * figures["merchant"] * merchant_events / _EXACT
    ) / 1e9
    return Need(
        cores=cores,
        memory_gb=ceil(cores) * figures["memory"] / 1e3,
        client_megabits=rate * (figures["request"] + figures["answer"]) * 8 / 1e6,
        redis_by_thread=ceil(rate * figures["script"] / 1e6 / _BUSY),
        redis_by_memory=ceil(state / _REDIS_GB),
        redis_gb=state,
        redis_megabits=rate * (figures["to_redis"] + figures["from_redis"]) * 8 / 1e6,
        writers=rate / figures["log"],
        day_gb=day * figures["row"] / 1e9,
        kept_tb=day * figures["row"] * _KEPT_DAYS / 1e12,
        batch_core_hours=day / (figures["batch"] / 2) / 3600,
    )


def _shown(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        digits = 3 - len(str(int(value)))
        return f"{round(value, digits):,.0f}"
    return f"{value:.3g}"


def tables() -> str:
    """The tables of the page, in Markdown."""
    figures = measured()
    found = [needs(rate, figures) for rate in RATES]
    rows = [
        ("cores that serve, which are as many replicas of one process", [need.cores for need in found]),
        ("their memory, GB", [need.memory_gb for need in found]),
        ("between clients and gateway, Mbit/s", [need.client_megabits for need in found]),
        ("Redis: shards by their one thread", [need.redis_by_thread for need in found]),
        ("Redis: state, GB", [need.redis_gb for need in found]),
        ("Redis: shards by memory", [need.redis_by_memory for need in found]),
        ("between replicas and Redis, Mbit/s", [need.redis_megabits for need in found]),
        ("PostgreSQL: processes' worth of prediction log", [need.writers for need in found]),
        ("PostgreSQL: a day of it, GB", [need.day_gb for need in found]),
        ("PostgreSQL: what is kept of it, TB", [need.kept_tb for need in found]),
        ("a day scored again as batch, core hours", [need.batch_core_hours for need in found]),
    ]
    lines = ["| measured | | told by |", "|---|---|---|"]
    lines += [
        f"| {figure.what} | {figures[name]:,g} | {figure.page} |".replace("docs/scaling.md", "sizes, below")
        for name, figure in FIGURES.items()
    ]
    lines += ["", "| assumed | |", "|---|---|", *(f"| {what} | {value:g} |" for what, value in ASSUMED.items()), ""]
    lines += [f"| transactions/s at the peak | {' | '.join(f'{rate:,}' for rate in RATES)} |", "|---|---|---|"]
    lines += [f"| {what} | {' | '.join(map(_shown, values))} |" for what, values in rows]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, or write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put them into docs/scaling.md")
    made = tables()
    if not parser.parse_args(arguments).write:
        print(made, end="")
        return
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    PAGE.write_text(f"{before}{_BEGIN}{made}{_END}{rest.partition(_END)[2]}")


if __name__ == "__main__":
    main()
