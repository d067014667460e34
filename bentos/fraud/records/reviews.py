"""Who of the analysts looks at which transaction, so that no two look at the same."""

from __future__ import annotations

from typing import Final

from sqlalchemy import exists, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from bentos.core.errors import Conflict, NotFound
from bentos.core.records import Claim
from bentos.fraud.records.database import Database
from bentos.fraud.records.failures import translated
from bentos.fraud.records.queries import instant
from bentos.fraud.records.tables import CLAIMS, PREDICTIONS

__all__ = ["CLAIM_SECONDS", "claim"]

CLAIM_SECONDS: Final = 300


def claim(database: Database, transaction_id: str, analyst: str) -> Claim:
    """Give a transaction to an analyst for five minutes; whoever has it already may have it anew.

    Raises
    ------
    NotFound
        When no prediction of it is kept.
    Conflict
        When another analyst has it.
    Unavailable
        When the database fails.
    """
    statement = (sqlite.insert if database.is_sqlite else postgresql.insert)(CLAIMS)
    taken = {"analyst": statement.excluded.analyst, "until": statement.excluded.until}
    with translated(), database.begin() as connection:
        now = database.now(connection)
        until = now + CLAIM_SECONDS * 1_000_000
        # One that seems to last much longer than any can was made before the clock was set back.
        over = ~CLAIMS.c.until.between(now + 1, until + CLAIM_SECONDS * 1_000_000)
        free = or_(CLAIMS.c.analyst == statement.excluded.analyst, over)
        upsert = statement.on_conflict_do_update(index_elements=["transaction_id"], set_=taken, where=free)
        if not connection.execute(select(exists().where(PREDICTIONS.c.transaction_id == transaction_id))).scalar_one():
            raise NotFound("no prediction of this transaction is kept; one that was just made takes a second to appear")
        values = {"transaction_id": transaction_id, "analyst": analyst, "until": until}
        if connection.execute(upsert.values(values).returning(CLAIMS.c.until)).first() is None:
            holder = connection.execute(select(CLAIMS).where(CLAIMS.c.transaction_id == transaction_id)).one()
            free_at = instant(holder.until).isoformat(timespec="seconds")
            raise Conflict(f"{holder.analyst} looks at this transaction until {free_at}; take another one")
    return Claim(transaction_id=transaction_id, analyst=analyst, expires_at=instant(until))
