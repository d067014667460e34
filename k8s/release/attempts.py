"""Which rollouts belong to which model version: told by their names, ``model-7``, then ``model-7-2``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from k8s.rollout.record import Rollout

__all__ = ["NOTED", "latest", "mark", "next_name", "version_of"]

_NAME: Final = re.compile(r"model-(\d+)(?:-(\d+))?")
#: Tag of a version: the rollout whose end was written down completely.
NOTED: Final = "fraud.rollout_noted"


def version_of(rollout: Rollout) -> str | None:
    """Number of the version that a rollout brings; None when no release began it."""
    found = _NAME.fullmatch(rollout.name)
    return found[1] if found else None


def latest(rollouts: Iterable[Rollout]) -> list[tuple[str, Rollout]]:
    """Each version's last rollout with its number, the oldest first: what a version's tags tell of.

    Parameters
    ----------
    rollouts
        That there were, the latest first.
    """
    found: dict[str, Rollout] = {}
    for rollout in rollouts:
        number = version_of(rollout)
        if number is not None:
            found.setdefault(number, rollout)
    return list(found.items())[::-1]


def next_name(number: str, rollouts: Iterable[Rollout]) -> str:
    """Name of a version's next rollout.

    Parameters
    ----------
    rollouts
        That there were.
    """
    tries = [int(found[2] or 1) for item in rollouts if (found := _NAME.fullmatch(item.name)) and found[1] == number]
    return f"model-{number}" if not tries else f"model-{number}-{max(tries) + 1}"


def mark(rollout: Rollout) -> str:
    """What :data:`NOTED` holds of a rollout: a name may come again where the ConfigMap was deleted."""
    return f"{rollout.name} {rollout.began.isoformat(timespec='seconds')}"
