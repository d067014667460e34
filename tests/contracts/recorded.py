"""Short ways to look at records, and a feature store that only remembers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

import bentos.fraud.jobs.tables  # noqa: F401 - they are in the same database
from bentos.core.errors import Unavailable
from bentos.core.features.pseudonyms import EventKey
from bentos.fraud.records.filters import Filters
from bentos.fraud.records.outbox import Outbox
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.store import Delivery
from tests.fraud.records.predicted import Book

DAY = 86_400_000_000


class Store:
    """Remembers what it was told, as far as it works."""

    def __init__(self) -> None:
        self.told: list[tuple[EventKey, int | None]] = []
        self.deliveries: list[Delivery] = []
        self.room = 1_000_000

    def label(self, event: EventKey, label_time: int | None, delivery: Delivery | None = None) -> None:
        """Take a label, if there is room."""
        if len(self.told) >= self.room:
            raise Unavailable("the store is down")
        self.told.append((event, label_time))
        assert delivery is not None
        self.deliveries.append(delivery)


def count(book: Book, table: Any) -> int:
    """Rows of a table."""
    with book.database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def all_ids(book: Book, **filters: Any) -> list[str]:
    """Transactions that a question finds, the newest first."""
    found = book.queries.predictions(Filters(**filters), 100, features=False)
    return [prediction.transaction_id for prediction in found.predictions]


def deliver(book: Book) -> list[int | None]:
    """Tell a store of all labels; their times."""
    store = Store()
    Outbox(book.database, store).deliver()  # type: ignore[arg-type]
    return [label_time for _, label_time in store.told]


def with_hashes(settings: RecordsSettings) -> dict[str, Any]:
    """The same database, with identifiers hashed."""
    return {**settings.model_dump(), "hash_identifiers": True, "pseudonym_key": "secret"}
