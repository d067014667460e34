"""The one way of the jobs to the records database: its errors become this product's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from bentos.core.errors import Unavailable
from bentos.fraud.records.database import Database

__all__ = ["reading", "writing"]


@contextlib.contextmanager
def writing(database: Database) -> Iterator[Connection]:
    """A transaction that is committed, on disk, when the block ends well.

    Raises
    ------
    Unavailable
        When the database fails.
    IntegrityError
        When a unique value is there already.
    """
    with _told(), database.begin() as connection:
        yield connection


@contextlib.contextmanager
def reading(database: Database) -> Iterator[Connection]:
    """A connection to read from.

    Raises
    ------
    Unavailable
        When the database fails.
    """
    with _told(), database.read() as connection:
        yield connection


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        # SQLAlchemy's text holds the statement with its values, which are nobody's business.
        raise Unavailable("the records database cannot be used at the moment; try again") from error
