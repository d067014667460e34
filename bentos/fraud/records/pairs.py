"""Pairs in the database: a prediction of the champion, and what a challenger in the shadow says of its feature row."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from bentos.core.answers import Decision
from bentos.core.errors import Unavailable
from bentos.fraud.records.arrays import insert_arrays
from bentos.fraud.records.database import Database
from bentos.fraud.records.failures import may_pass
from bentos.fraud.records.label_rows import pieces
from bentos.fraud.records.tables import SHADOW_PAIRS

__all__ = ["Pair", "PairWriter", "WrittenPairs"]

_LOGGER = logging.getLogger(__name__)
_COLUMNS: Final = ("prediction_id", "challenger_version", "challenger_name", "score", "decision", "created_at")
_NAMES: Final = ", ".join(_COLUMNS)
_ONCE: Final = f"ON CONFLICT DO NOTHING RETURNING {', '.join(_COLUMNS[:3])}"
#: Rows of one statement of SQLite.
_PIECE: Final = 250
_KEY: Final = ("id", "transaction_id", "model_version", "model_name")
_SQLITE_PREDICTED: Final = f"SELECT {', '.join(_KEY)} FROM predictions WHERE transaction_id IN"  # noqa: S608
#: One look at the index for each id. The lock keeps retention and erasure from removing a prediction meanwhile.
_POSTGRESQL_PREDICTED: Final = (
    "SELECT found.* FROM unnest(%s::text[]) AS wanted(id) CROSS JOIN LATERAL"  # noqa: S608
    f" (SELECT {', '.join(_KEY)} FROM predictions WHERE transaction_id = wanted.id FOR KEY SHARE) AS found"
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One transaction, scored twice.

    Parameters
    ----------
    transaction_id, model_name, model_version
        Of the champion's prediction, which is or was recorded.
    created_at
        When it was made, microseconds since 1970 UTC.
    champion_score, champion_decision
        What the champion says: "block" too where that was reviewed by chance.
    challenger_name, challenger_version
        Of the model that it is compared with.
    challenger_score, challenger_decision
        What that says, by its own thresholds.
    """

    transaction_id: str
    model_name: str
    model_version: str
    created_at: int
    champion_score: float
    champion_decision: Decision
    challenger_name: str
    challenger_version: str
    challenger_score: float
    challenger_decision: Decision


@dataclass(frozen=True, slots=True)
class WrittenPairs:
    """What became of pairs.

    Parameters
    ----------
    new
        Those that are recorded now and were not before.
    lost
        Those that cannot be: their predictions are not there, such as a customer's that was erased meanwhile.
    """

    new: Sequence[Pair]
    lost: Sequence[Pair]


class PairWriter:
    """Writes batches. Belongs to one thread.

    Parameters
    ----------
    database
        Of the records.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, pairs: Sequence[Pair]) -> WrittenPairs:
        """Write pairs; those that are there already stay as they are.

        Raises
        ------
        Unavailable
            When the database fails; nothing is written then.
        """
        try:
            return self._write(pairs)
        except SQLAlchemyError as error:
            # Its text holds the values, which are nobody's business.
            if may_pass(error):
                raise Unavailable(f"the records database takes no pairs: {type(error).__name__}") from error
            _LOGGER.error("%d pairs cannot be recorded: %s", len(pairs), type(error).__name__)  # noqa: TRY400
            return WrittenPairs([], pairs)

    def _write(self, pairs: Sequence[Pair]) -> WrittenPairs:
        # Two writers that bring the same transactions in different orders would wait for each other.
        ordered = sorted(pairs, key=attrgetter("transaction_id"))
        with self._database.begin() as connection:
            predictions = self._predicted(connection, [pair.transaction_id for pair in ordered])
            lost = []
            # The first of several of one transaction, as of predictions.
            found: dict[tuple[int, str, str], Pair] = {}
            for pair in ordered:
                prediction = predictions.get((pair.transaction_id, pair.model_version, pair.model_name))
                if prediction is None:
                    lost.append(pair)
                else:
                    found.setdefault((prediction, pair.challenger_version, pair.challenger_name), pair)
            new = self._insert(connection, found) if found else []
        return WrittenPairs([found[key] for key in new], lost)

    def _predicted(self, connection: Connection, ids: Sequence[str]) -> dict[tuple[str, str, str], int]:
        rows: list[Any] = []
        if self._database.is_sqlite:
            for part in pieces(ids):
                rows += connection.exec_driver_sql(f"{_SQLITE_PREDICTED} ({_places(len(part))})", tuple(part))
        else:
            rows += connection.exec_driver_sql(_POSTGRESQL_PREDICTED, (sorted(set(ids)),))
        return {(row[1], row[2], row[3]): row[0] for row in rows}

    def _insert(self, connection: Connection, found: Mapping[tuple[int, str, str], Pair]) -> list[tuple[int, str, str]]:
        """Write them; the keys of those that were not there before."""
        rows = [(*key, pair.challenger_score, pair.challenger_decision, pair.created_at) for key, pair in found.items()]
        new: list[Any] = []
        if self._database.is_sqlite:
            for part in pieces(rows, _PIECE):
                values = ", ".join([f"({_places(len(_COLUMNS))})"] * len(part))
                statement = f"INSERT INTO shadow_pairs ({_NAMES}) VALUES {values} {_ONCE}"  # noqa: S608 - no value is in it
                new += connection.exec_driver_sql(statement, tuple(chain.from_iterable(part)))
        else:
            new += insert_arrays(connection, SHADOW_PAIRS, _COLUMNS, rows, _ONCE)
        return [(row[0], row[1], row[2]) for row in new]


def _places(count: int) -> str:
    return ", ".join("?" * count)
