"""Opens the feature store that the settings choose. The only place that knows which backends there are."""

from __future__ import annotations

from typing import Final

from bentos.core.features.pseudonyms import Pseudonyms
from bentos.fraud.store.base import FeatureStore
from bentos.fraud.store.embedded import EmbeddedStore
from bentos.fraud.store.settings import StoreSettings

__all__ = ["STORE_FILE", "open_store"]

#: Under FRAUD_HOME/serving.
STORE_FILE: Final = "features.store"


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
        When the Redis URL cannot be understood.
    """
    pseudonyms = Pseudonyms(settings.pseudonym_key.get_secret_value())
    if settings.feature_store == "redis":
        # The client's library would make every worker heavier.
        from bentos.fraud.store.redis_store import DEFAULT_URL, RedisPlace, RedisStore

        url = settings.redis_url
        place = RedisPlace(
            url=DEFAULT_URL if url is None else url.get_secret_value(),
            prefix=settings.redis_prefix,
            timeout_seconds=settings.redis_timeout_milliseconds / 1000,
            failures=settings.redis_failures,
        )
        return RedisStore(place, pseudonyms)
    file = settings.home / "serving" / STORE_FILE
    return EmbeddedStore(file, pseudonyms, settings.feature_store_capacity_bytes, paced=paced)
