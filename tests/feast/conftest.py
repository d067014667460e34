"""Stores of Feast repositories that are empty."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bentos.fraud.store.feast_repository import OnlineStore
from bentos.fraud.store.feast_store import FeastPlace, FeastStore
from tests.feast.repositories import SECRET, applied, feast_redis, feast_repository  # noqa: F401 - fixtures

Machines = Callable[..., FeastStore]


@pytest.fixture(params=["sqlite", "redis"])
def repository(
    request: pytest.FixtureRequest,
    feast_repository: Callable[[OnlineStore], Path],  # noqa: F811
) -> Path:
    """One that was applied, its online store empty."""
    return feast_repository(request.param)


@pytest.fixture
def machine(repository: Path) -> Iterator[Machines]:
    """Opens the repository's store as a process of a machine does; machines share no lock."""
    stores = []

    def open_store(name: str = "one") -> FeastStore:
        place = FeastPlace(repository, repository / f"{name}.lock", timeout_seconds=30.0)
        stores.append(FeastStore(place, SECRET))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()
