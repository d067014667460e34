"""Which process does what only one is to do."""

from __future__ import annotations

import secrets
import time
from typing import Final

from sqlalchemy import or_, select, update

from bentos.fraud.records.database import Database
from bentos.fraud.records.tables import LEASES

__all__ = ["CHORES", "Lease"]

CHORES: Final = "chores"
_SECONDS: Final = 15.0


class Lease:
    """A lease that processes on all machines take turns with. Belongs to one thread.

    A holder that does not renew it loses it after 15 seconds; clocks may differ by less than that.

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
        self._span = int(seconds * 1e6)
        self._holder = secrets.token_hex(8)
        self._until = 0

    def hold(self) -> bool:
        """Take or renew it if it can be had; whether it is this process's.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            When the database fails.
        """
        now = _now()
        # Renewed in time, but not at every look: each writes to disk.
        if self._until - now > self._span // 2:
            return True
        mine, table = self._until > now, LEASES.c
        if not mine:
            with self._database.read() as connection:
                until = connection.execute(select(table.until).where(table.name == self._name)).scalar_one()
            if until > now:
                return False
        free = or_(table.holder == self._holder, table.until <= now)
        with self._database.begin() as connection:
            taken = connection.execute(
                update(LEASES).where(table.name == self._name, free).values(holder=self._holder, until=now + self._span)
            )
        self._until = now + self._span if taken.rowcount else 0
        return bool(taken.rowcount)

    def release(self) -> None:
        """Let another have it at once.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            When the database fails.
        """
        if self._until <= _now():
            return
        self._until = 0
        with self._database.begin() as connection:
            connection.execute(
                update(LEASES).where(LEASES.c.name == self._name, LEASES.c.holder == self._holder).values(until=0)
            )


def _now() -> int:
    return time.time_ns() // 1000
