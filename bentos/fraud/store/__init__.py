"""Where the online features live: one interface, a file of one machine, a Redis of many or Feast behind it."""

from bentos.fraud.store.base import Delivery, FeatureRows, FeatureStore
from bentos.fraud.store.choice import open_store
from bentos.fraud.store.embedded import EmbeddedStore

__all__ = ["Delivery", "EmbeddedStore", "FeatureRows", "FeatureStore", "open_store"]
