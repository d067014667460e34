"""All rollouts that anybody still knows of: those of the ConfigMap, and of the records where these are configured."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from bentos.core.errors import NotFound, Unavailable
from k8s.rollout.archive import archive_settings, recorded
from k8s.rollout.record import Rollout
from k8s.rollout.state import ApiServer, find, load

__all__ = ["merged", "past_rollouts"]

_LOG: Final = logging.getLogger(__name__)


def past_rollouts(cluster: ApiServer, release: str | None = None, *, limit: int = 50) -> tuple[Rollout, ...]:
    """Rollouts of a release, the latest first. Without an answer of the records, those of the ConfigMap.

    Parameters
    ----------
    release
        None means the only one of the namespace that had one.
    limit
        How many at most.

    Raises
    ------
    NotFound
        It never had a rollout.
    ConfigError, DataError
        As :func:`~k8s.rollout.state.find`; a variable of the records is wrong.
    """
    settings = archive_settings()
    if settings is None:
        return load(cluster, release).all[:limit]
    stored = find(cluster, release)
    known = stored.all if stored else ()
    if release is None and known:
        release = known[0].release
    try:
        kept = recorded(settings, cluster.namespace, release, limit=limit)
    except Unavailable as error:
        _LOG.warning("what is shown is the ConfigMap's: %s", error)
        kept = ()
    found = merged(known, kept)[:limit]
    if not found:
        of = f"release {release!r}" if release else "any release"
        raise NotFound(
            f"neither the cluster nor the records know a rollout of {of}"
            f" in namespace {cluster.namespace!r}: begin one with `python -m k8s rollout start`"
        )
    return found


def merged(known: Iterable[Rollout], kept: Iterable[Rollout]) -> tuple[Rollout, ...]:
    """One of each, the latest first: the later state, and of the same state the one with more looks."""
    found: dict[tuple[str, str, datetime], Rollout] = {}
    for rollout in (*known, *kept):
        key = rollout.release, rollout.name, rollout.began
        other = found.get(key)
        if other is None or _order(rollout) > _order(other):
            found[key] = rollout
    return tuple(sorted(found.values(), key=lambda item: item.began, reverse=True))


def _order(rollout: Rollout) -> tuple[int, int]:
    return rollout.writes, len(rollout.looks)
