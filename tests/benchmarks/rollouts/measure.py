"""The measurements: each is a file of arrays, so that they can be made one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from k8s.rollout.plan import Plan, Step
from tests.benchmarks.rollouts.compare import thresholds, watched
from tests.benchmarks.rollouts.labels import Planned, planned_errors, planned_recall
from tests.benchmarks.rollouts.play import play
from tests.benchmarks.rollouts.scenarios import SCENARIOS, Harm, Scenario, World

__all__ = ["COMPARED", "HARMS", "MEASUREMENTS", "SPLITS", "WEIGHT", "measure", "measured"]

HARMS: Final = {
    "errors × 10": Harm(errors=10.0),
    "p99 doubled": Harm(latency=2.0),
    "alerts × 1.5": Harm(alerts=1.5),
    "scores shifted": Harm(shift=1.0),
}
#: What thresholds are compared by, at this weight.
COMPARED: Final = {**HARMS, "errors × 2": Harm(errors=2.0)}
WEIGHT: Final = 25
#: Weights, and seconds in which the challenger has more than 10,000 requests by day and by night.
SPLITS: Final = {5: 6_000.0, 50: 1_200.0}
_HOUR: Final = 3_600.0
_SHADOW: Final = Plan(steps=(Step(weight=0, shortest_seconds=_HOUR), Step(weight=5)))


def _played(scenario: Scenario, rollouts: int, seed: int) -> dict[str, Any]:
    played = play(scenario, Plan(), scenario.world, rollouts, seed, 10 * _HOUR)
    return {key: value for key, value in vars(played).items() if key != "scenario"}


def _shadow(harm: Harm, rollouts: int, seed: int) -> dict[str, Any]:
    played = play(Scenario("", harm), _SHADOW, World(), rollouts, seed, 900.0)
    return {"failed": np.where(played.rolled_back, played.copied, np.inf), "requests": played.copied}


def _split(harm: Harm, weight: int, seconds: float, rollouts: int, seed: int) -> dict[str, Any]:
    seen = watched(harm, weight, World(), rollouts, seed, seconds)
    return {"failed": seen.failed, "requests": seen.requests[-1]}


def _compared(rollouts: int, seed: int) -> dict[str, Any]:
    count = max(rollouts // 4, 10)
    equal = watched(Harm(), WEIGHT, World(), count, seed, 2 * _HOUR)
    limits = thresholds(equal, 0.005)
    found: dict[str, Any] = {"limits": limits, "equal": equal.failed}
    for name, harm in COMPARED.items():
        seen = watched(harm, WEIGHT, World(), count, seed + 1, 2 * _HOUR)
        found[f"{name}: gates"] = np.where(np.isfinite(seen.failed), seen.failed, np.inf)
        found[f"{name}: thresholds"] = seen.by_thresholds(limits)
        found[f"{name}: all"] = seen.requests[-1]
    return found


def _planned(planned: Planned) -> dict[str, Any]:
    return vars(planned)


def _measurements() -> dict[str, Callable[[int, int], dict[str, Any]]]:
    found: dict[str, Callable[[int, int], dict[str, Any]]] = {
        "errors equal": lambda rollouts, seed: _planned(planned_errors(1.0, rollouts, seed)),
        "errors doubled": lambda rollouts, seed: _planned(planned_errors(2.0, rollouts, seed)),
        "recall equal": lambda rollouts, seed: _planned(planned_recall(0.0, rollouts, seed, 1_000)),
        "recall lost": lambda rollouts, seed: _planned(planned_recall(0.2, rollouts, seed)),
        "compared": _compared,
    }
    for name, harm in HARMS.items():
        found[f"shadow {name}"] = lambda rollouts, seed, harm=harm: _shadow(harm, rollouts, seed)  # type: ignore[misc]
        for weight, seconds in SPLITS.items():
            found[f"split {weight} {name}"] = lambda rollouts, seed, harm=harm, weight=weight, seconds=seconds: _split(  # type: ignore[misc]
                harm, weight, seconds, rollouts // 2, seed
            )
    for scenario in SCENARIOS:
        found[f"rollout {scenario.name}"] = lambda rollouts, seed, scenario=scenario: _played(  # type: ignore[misc]
            scenario, rollouts, seed
        )
    return found


MEASUREMENTS: Final = _measurements()


def measure(name: str, rollouts: int, seed: int, folder: Path) -> None:
    """Make one measurement and keep it."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / f"{_file(name)}.npz", **MEASUREMENTS[name](rollouts, seed))


def measured(name: str, folder: Path) -> Mapping[str, Any]:
    """What was kept."""
    with np.load(folder / f"{_file(name)}.npz") as kept:
        return {key: kept[key] for key in kept.files}


def _file(name: str) -> str:
    return name.replace(" ", "_").replace("×", "x").replace(",", "")
