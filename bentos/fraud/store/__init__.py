"""Where the online features live: one interface, a file shared by the workers of a machine behind it."""

from bentos.fraud.store.base import FeatureRows, FeatureStore
from bentos.fraud.store.embedded import EmbeddedStore

__all__ = ["EmbeddedStore", "FeatureRows", "FeatureStore"]
