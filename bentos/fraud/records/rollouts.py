"""Rollouts: what became of each, and every look at its evidence. What they mean is their writer's business."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from bentos.fraud.records.database import Database
from bentos.fraud.records.failures import translated
from bentos.fraud.records.tables import ROLLOUT_LOOKS, ROLLOUTS

__all__ = ["KeptLook", "KeptRollout", "keep_rollout", "kept_rollouts"]

_KEY: Final = ("namespace", "release", "name", "began")
#: Rows of one statement.
_PIECE: Final = 100


@dataclass(frozen=True, slots=True)
class KeptLook:
    """A look at the evidence.

    Parameters
    ----------
    at
        Microseconds since 1970 UTC; no other look of the rollout has the same.
    step, weight, action
        Where the rollout was, and what was decided.
    document
        All of it, as JSON.
    """

    at: int
    step: int
    weight: int
    action: str
    document: str


@dataclass(frozen=True, slots=True)
class KeptRollout:
    """A rollout.

    Parameters
    ----------
    namespace, release, name
        Which.
    began, ended
        Microseconds since 1970 UTC; ``ended`` is None while it is under way.
    phase
        Where it is, or how it ended.
    champion, challenger
        In words.
    writes
        Grows with each of its states.
    document
        All of it but its looks, as JSON.
    looks
        In the order of time.
    """

    namespace: str
    release: str
    name: str
    began: int
    ended: int | None
    phase: str
    champion: str
    challenger: str
    writes: int
    document: str
    looks: Sequence[KeptLook] = ()


def keep_rollout(database: Database, rollout: KeptRollout) -> None:
    """Write a state of a rollout and looks of it; again changes nothing, and a later state stays.

    Raises
    ------
    Unavailable
        When the database fails; nothing is written then.
    """
    insert: Any = sqlite.insert if database.is_sqlite else postgresql.insert
    values = {name: getattr(rollout, name) for name in KeptRollout.__slots__ if name != "looks"}
    statement = insert(ROLLOUTS).values(values)
    changed = {name: statement.excluded[name] for name in values if name not in _KEY}
    newer = statement.excluded.writes > ROLLOUTS.c.writes
    with translated(), database.begin() as connection:
        connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=changed, where=newer))
        of_it = [ROLLOUTS.c[name] == values[name] for name in _KEY]
        number = connection.execute(select(ROLLOUTS.c.id).where(*of_it)).scalar_one()
        rows = [
            {"rollout_id": number, **{name: getattr(look, name) for name in KeptLook.__slots__}}
            for look in rollout.looks
        ]
        for start in range(0, len(rows), _PIECE):
            looks = insert(ROLLOUT_LOOKS).values(rows[start : start + _PIECE])
            connection.execute(looks.on_conflict_do_nothing())


def kept_rollouts(
    database: Database, namespace: str, release: str | None = None, *, limit: int = 50
) -> list[KeptRollout]:
    """Rollouts with all their looks, the latest first.

    Parameters
    ----------
    release
        None means all of the namespace.
    limit
        How many at most.

    Raises
    ------
    Unavailable
        When the database fails.
    """
    wanted = select(ROLLOUTS).where(ROLLOUTS.c.namespace == namespace)
    if release is not None:
        wanted = wanted.where(ROLLOUTS.c.release == release)
    latest = wanted.order_by(ROLLOUTS.c.began.desc(), ROLLOUTS.c.id.desc()).limit(limit)
    with translated(), database.read() as connection:
        return [_kept(connection, dict(row)) for row in connection.execute(latest).mappings().all()]


def _kept(connection: Connection, row: dict[str, Any]) -> KeptRollout:
    number = row.pop("id")
    looks = select(ROLLOUT_LOOKS).where(ROLLOUT_LOOKS.c.rollout_id == number).order_by(ROLLOUT_LOOKS.c.at)
    found = connection.execute(looks).mappings().all()
    return KeptRollout(
        **row, looks=tuple(KeptLook(**{name: one[name] for name in KeptLook.__slots__}) for one in found)
    )
