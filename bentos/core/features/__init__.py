"""The 21 features: one definition for a table of transactions and for the online store.

``definitions`` says what each feature is, ``history`` and ``windows`` hold the statistics behind them, ``offline``
computes a table at once, ``online`` a transaction from the stored ``state`` of its keys.
"""

from bentos.core.features.definitions import FEATURE_NAMES, FEATURE_SCHEMA, FEATURES, Feature
from bentos.core.features.history import LABEL_DELAY_DAYS
from bentos.core.features.offline import feature_table

__all__ = ["FEATURES", "FEATURE_NAMES", "FEATURE_SCHEMA", "LABEL_DELAY_DAYS", "Feature", "feature_table"]
