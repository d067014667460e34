"""Names of the registry that training, dashboard and cluster share: of the model, of its aliases, of its states."""

from __future__ import annotations

from typing import Final

__all__ = ["CHALLENGER", "CHAMPION", "COMPLETE", "MODEL_NAME", "STATE"]

#: The registered model.
MODEL_NAME: Final = "fraud_detector"
#: Aliases of its versions.
CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
#: Tag of a version, and its value once everything is logged; what has another value is not there yet.
STATE: Final = "fraud.state"
COMPLETE: Final = "complete"
