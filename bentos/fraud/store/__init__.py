"""Where the online features live: one interface, a file of one machine or a Redis of many behind it."""

from bentos.fraud.store.base import FeatureRows, FeatureStore
from bentos.fraud.store.choice import open_store
from bentos.fraud.store.embedded import EmbeddedStore

__all__ = ["EmbeddedStore", "FeatureRows", "FeatureStore", "open_store"]
