"""The one catalogue of the records database's tables."""

from __future__ import annotations

from typing import Final

from sqlalchemy import MetaData

__all__ = ["METADATA"]

#: Constraints have names on every backend, so that a migration can change them.
METADATA: Final = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_unique",
        "ck": "%(table_name)s_%(constraint_name)s",
        "fk": "%(table_name)s_%(column_0_N_name)s_fk",
        "pk": "%(table_name)s_pk",
    }
)
