"""Stays with a rollout until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from bentos.core.errors import NotFound, Unavailable
from k8s.rollout.record import Rollout
from k8s.rollout.state import ApiServer, find

__all__ = ["follow"]

_SECONDS: Final = 2.0
#: A controller looks every ten seconds, and waits minutes for Helm and pods at most.
_SILENT: Final = timedelta(minutes=10)


def follow(cluster: ApiServer, rollout: Rollout, tell: Callable[[str], None]) -> Rollout:
    """Wait for the end of a rollout, which the controller brings about.

    Parameters
    ----------
    tell
        Gets each change in words.

    Raises
    ------
    NotFound
        The cluster knows it no more.
    """
    told: set[str] = set()
    place: object = None

    def once(text: str) -> None:
        if text not in told:
            told.add(text)
            tell(text)

    while True:
        try:
            stored = find(cluster, rollout.release)
        except Unavailable as error:
            once(f"{error}; the rollout goes on meanwhile")
            time.sleep(_SECONDS)
            continue
        found = next((item for item in stored.all if _same(item, rollout)), None) if stored else None
        if found is None:
            raise NotFound(
                f"the cluster knows the rollout {rollout.name} of {rollout.release} no more: its ConfigMap was deleted"
            )
        if place != (place := (found.phase, found.step, found.weight)):
            tell(_words(found))
        if found.over:
            return found
        for trouble in found.troubles:
            once(trouble)
        last = max(found.looked or found.began, *(change.at for change in found.changes))
        if datetime.now(UTC) - last > _SILENT:
            once("no controller has looked for ten minutes: start one by `python -m k8s rollout run`")
        time.sleep(_SECONDS)


def _same(one: Rollout, other: Rollout) -> bool:
    return (one.name, one.began) == (other.name, other.began)


def _words(rollout: Rollout) -> str:
    steps = len(rollout.plan.steps)
    place = "shadow" if rollout.stage == "shadow" else f"{rollout.weight} %"
    return f"{rollout.name}: {rollout.phase}, step {rollout.step + 1} of {steps}, {place}: {rollout.reason}"
