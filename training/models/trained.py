"""A trained model: what export, evaluation and registry work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from imblearn.pipeline import Pipeline
from numpy.typing import NDArray

from training.models.calibration import Calibration
from training.models.config import Kind, ModelConfig
from training.models.inputs import checked_rows

__all__ = ["TrainedModel", "raw_scores"]


@dataclass
class TrainedModel:
    """A fitted pipeline with its calibration.

    Parameters
    ----------
    pipeline
        imblearn's, on feature rows [n, 21]; samplers in it act in ``fit`` alone. Its last step is the classifier, with
        the classes 0 and 1.
    kind
        "forest": the classifier is an ensemble of sklearn's trees on the features as they are. "network": an
        ElementwiseScaler, then a classifier whose ``module_.layers`` are the network. "other": cannot be exported.
    calibration
        From raw score to score.
    config, seed
        What it was trained with.
    """

    pipeline: Pipeline
    kind: Kind
    calibration: Calibration
    config: ModelConfig
    seed: int

    def raw_score(self, rows: Any) -> NDArray[np.float64]:
        """What contributions explain: a probability, or for a network the logit difference; float64 [n].

        Parameters
        ----------
        rows
            [n, 21], cast to float32 before anything else, as in serving.

        Raises
        ------
        DataError
            Another number of columns, or values that are not finite.
        """
        return raw_scores(self.pipeline, self.kind, checked_rows(rows))

    def score(self, rows: Any) -> NDArray[np.float64]:
        """Calibrated probability of fraud of rows [n, 21], float64 [n].

        Raises
        ------
        DataError
            As :meth:`raw_score`.
        """
        return self.calibration(self.raw_score(rows))


def raw_scores(pipeline: Pipeline, kind: Kind, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Raw scores of checked rows. A network's are computed in float64: explanations must add up to them."""
    if kind == "network":
        from training.models.network import logit_difference

        return logit_difference(pipeline.steps[-1][1], pipeline.steps[0][1].exact(rows))
    return np.asarray(pipeline.predict_proba(rows), dtype=np.float64)[:, 1]
