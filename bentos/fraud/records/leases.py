"""Which process does what only one is to do."""

from __future__ import annotations

import secrets
import time
from typing import Final

from sqlalchemy import ColumnElement, or_, select, update

from bentos.fraud.records.database import Database
from bentos.fraud.records.tables import LEASES

__all__ = ["CHORES", "Lease"]

CHORES: Final = "chores"
_SECONDS: Final = 15.0


class Lease:
    """A lease that processes on all machines take turns with. Belongs to one thread.

    A holder that does not renew it loses it after 15 seconds, by the database's clock; should that have been set back,
    a lease that seems to last much longer than any can is free. One that was stopped and goes on may believe for a
    moment that it still holds it: what it does must be harmless then.

    Parameters
    ----------
    database
        Of the records.
    name
        Of what is leased.
    seconds
        For how long it is taken or renewed.
    """

    def __init__(self, database: Database, name: str, seconds: float = _SECONDS) -> None:
        self._database = database
        self._name = name
        self._seconds = seconds
        self._span = int(seconds * 1e6)
        self._holder = secrets.token_hex(8)
        self._renewed: float | None = None

    def hold(self) -> bool:
        """Take or renew it if it can be had; whether it is this process's.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            When the database fails.
        """
        asked = time.monotonic()
        # Renewed in time, but not at every look: each writes to disk.
        if self._renewed is not None and asked - self._renewed < self._seconds / 2:
            return True
        table = LEASES.c
        if self._renewed is None:
            with self._database.read() as connection:
                now = self._database.now(connection)
                free = select(table.name).where(table.name == self._name, self._free(now))
                if connection.execute(free).first() is None:
                    return False
        self._renewed = None
        with self._database.begin() as connection:
            now = self._database.now(connection)
            taken = connection.execute(
                update(LEASES)
                .where(table.name == self._name, self._free(now))
                .values(holder=self._holder, until=now + self._span)
            )
        if taken.rowcount:
            self._renewed = asked
        return bool(taken.rowcount)

    def _free(self, now: int) -> ColumnElement[bool]:
        table = LEASES.c
        return or_(table.holder == self._holder, table.until <= now, table.until > now + 2 * self._span)

    def release(self) -> None:
        """Let another have it at once.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            When the database fails.
        """
        if self._renewed is None:
            return
        self._renewed = None
        with self._database.begin() as connection:
            connection.execute(
                update(LEASES).where(LEASES.c.name == self._name, LEASES.c.holder == self._holder).values(until=0)
            )
