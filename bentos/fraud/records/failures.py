"""Which failures of the database pass by themselves, and how they are told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from bentos.core.errors import Unavailable

__all__ = ["may_pass", "translated"]

_SLOW: Final = "the records database took too long to answer; ask for less, such as a shorter time from since to until"
_DOWN: Final = "the records database cannot be used at the moment; try again"


def may_pass(error: SQLAlchemyError) -> bool:
    """Whether the same statement may succeed later: nothing is wrong with its values."""
    return not isinstance(error, DataError | IntegrityError)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Make the database's errors this product's.

    Raises
    ------
    Unavailable
        When the database fails.
    """
    try:
        yield
    except SQLAlchemyError as error:
        # SQLAlchemy's text holds the statement with its values, which are nobody's business.
        raise Unavailable(_SLOW if _took_too_long(error) else _DOWN) from error


def _took_too_long(error: SQLAlchemyError) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else None
    return type(cause).__name__ == "QueryCanceled" or str(cause) == "interrupted"
