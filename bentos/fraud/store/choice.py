"""Opens the feature store that the settings choose. The only place that knows which backends there are."""

from __future__ import annotations

from typing import Final

from bentos.core.features.pseudonyms import Pseudonyms
from bentos.fraud.store.base import FeatureStore
from bentos.fraud.store.embedded import EmbeddedStore
from bentos.fraud.store.settings import StoreSettings

__all__ = ["FEAST_LOCK", "REPOSITORY_FOLDER", "STORE_FILE", "open_store"]

#: Under FRAUD_HOME/serving.
STORE_FILE: Final = "features.store"
FEAST_LOCK: Final = "feast.lock"
#: Under FRAUD_HOME.
REPOSITORY_FOLDER: Final = "feast"


def open_store(settings: StoreSettings, *, paced: bool = False) -> FeatureStore:
    """Open it.

    Parameters
    ----------
    settings
        Of the store, with home and pseudonym_key.
    paced
        See :class:`.embedded.EmbeddedStore`: for processes that serve.

    Raises
    ------
    Unavailable
        When the embedded store's file cannot be opened.
    ArtifactIncompatible
        When the store was made for other features, or with another pseudonym key.
    ConfigError
        When the Redis URL cannot be understood, or Feast is not installed or has no applied repository.
    """
    pseudonyms = Pseudonyms(settings.pseudonym_key.get_secret_value())
    if settings.feature_store == "redis":
        # The client's library would make every worker heavier.
        from bentos.fraud.store.redis_link import DEFAULT_URL, RedisPlace
        from bentos.fraud.store.redis_store import RedisStore

        url = settings.redis_url
        place = RedisPlace(
            url=DEFAULT_URL if url is None else url.get_secret_value(),
            prefix=settings.redis_prefix,
            timeout_seconds=settings.redis_timeout_milliseconds / 1000,
            failures=settings.redis_failures,
        )
        return RedisStore(place, pseudonyms)
    if settings.feature_store == "feast":
        from bentos.fraud.store.feast_store import FeastPlace, FeastStore

        repository = settings.feast_repository or settings.home / REPOSITORY_FOLDER
        lock_file = settings.home / "serving" / FEAST_LOCK
        return FeastStore(FeastPlace(repository, lock_file, settings.feast_timeout_milliseconds / 1000), pseudonyms)
    file = settings.home / "serving" / STORE_FILE
    memory = settings.feature_memory_folder
    return EmbeddedStore(file, pseudonyms, settings.feature_store_capacity_bytes, memory=memory, paced=paced)
