"""BentoML as its documentation shows it: adaptive batching of the fitted forest, every setting as it comes."""

from __future__ import annotations

import bentoml
import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.load.peers.model import decide, load_forest


@bentoml.service(workers=2)
class Stock:
    """Scores feature rows."""

    def __init__(self) -> None:
        self.forest = load_forest()

    @bentoml.api(batchable=True)  # type: ignore[untyped-decorator]
    def predict(self, rows: NDArray[np.float32]) -> list[dict[str, float | str]]:
        """Score rows [n, 21]."""
        scores = self.forest.predict_proba(np.asarray(rows, np.float32))[:, 1].tolist()
        return [{"score": score, "decision": decide(score)} for score in scores]
