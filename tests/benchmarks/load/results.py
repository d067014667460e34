"""What was measured, and how it is summed up over the repeats."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Measurement", "Results"]


@dataclass(frozen=True)
class Measurement:
    """One server under one load, once.

    Attributes
    ----------
    part
        Of the benchmark.
    server, load
        What was driven, and how.
    connections
        Of the load.
    repeat
        Which one, from 0.
    values
        By name: per_second; p50 and so on in milliseconds; cpu_microseconds of the server for a request; memory in MB.
    counts
        Requests by status, or errors by kind.
    series
        Numbers to draw.
    """

    part: str
    server: str
    load: str
    connections: int
    repeat: int
    values: dict[str, float]
    counts: dict[str, int] = field(default_factory=dict)
    series: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class Results:
    """All measurements of a run.

    Attributes
    ----------
    about
        Machine, versions, plan.
    """

    about: dict[str, str]
    measurements: list[Measurement] = field(default_factory=list)

    def find(self, part: str, server: str, load: str, connections: int | None = None) -> list[Measurement]:
        """Measurements of the same thing, in order of their repeats."""
        return [
            item
            for item in self.measurements
            if (item.part, item.server, item.load) == (part, server, load) and connections in (None, item.connections)
        ]

    def median(self, value: str, part: str, server: str, load: str, connections: int | None = None) -> float | None:
        """Median over the repeats; None when it was not measured."""
        found = [item.values[value] for item in self.find(part, server, load, connections) if value in item.values]
        return statistics.median(found) if found else None

    def ratio(
        self, value: str, part: str, above: tuple[str, str], below: tuple[str, str], connections: int | None = None
    ) -> float | None:
        """Median over the repeats of one server's value by another's, both given as (server, load)."""
        pairs = zip(self.find(part, *above, connections), self.find(part, *below, connections), strict=True)
        ratios = [one.values[value] / other.values[value] for one, other in pairs]
        return statistics.median(ratios) if ratios else None

    def middle(
        self, value: str, part: str, server: str, load: str, connections: int | None = None
    ) -> Measurement | None:
        """The repeat whose value is the (lower) median."""
        found = sorted(self.find(part, server, load, connections), key=lambda item: item.values[value])
        return found[(len(found) - 1) // 2] if found else None

    def counts(self, part: str, server: str, load: str, connections: int | None = None) -> dict[str, int]:
        """Counts of all repeats together."""
        total: Counter[str] = Counter()
        for item in self.find(part, server, load, connections):
            total.update(item.counts)
        return dict(total)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read what :meth:`write` wrote."""
        content: dict[str, Any] = json.loads(path.read_text())
        return cls(content["about"], [Measurement(**item) for item in content["measurements"]])
