"""Rows by whose scores a model is known: two models of one name and version are one only if they agree about them."""

from __future__ import annotations

from typing import Final

import numpy as np

from bentos.core.artifact import Artifact
from bentos.core.errors import ConfigError
from bentos.core.features.definitions import FEATURE_NAMES
from bentos.fraud.remote.wire import usable
from bentos.fraud.scorer import FloatArray, Scorer

__all__ = ["Probe"]

_ROWS: Final = 32
#: What the same model may differ by on another machine; a network's logits are float32.
_SCORE_NEAR: Final = 1e-5
_RAW_NEAR: Final = 1e-4


class Probe:
    """Rows, and what the artifact's own model says of them.

    Parameters
    ----------
    artifact
        Its training distributions give the rows: each feature takes a border of one of its tenths, which one is drawn
        from a fixed seed, so that the rows reach many leaves of a forest.
    scorer
        Of the same artifact.
    """

    def __init__(self, artifact: Artifact, scorer: Scorer) -> None:
        random = np.random.default_rng(0)
        #: float64 [32, 21], values that float32 holds.
        self.rows: FloatArray = np.zeros((_ROWS, len(FEATURE_NAMES)))
        for column, name in enumerate(FEATURE_NAMES):
            edges = artifact.distributions.features[name].edges
            if edges:
                self.rows[:, column] = random.choice(np.asarray(edges, np.float32), _ROWS)
        self._raw, self._score = scorer.score(self.rows)

    def check(self, raw: FloatArray, score: FloatArray) -> None:
        """Refuse the scores of another model.

        Raises
        ------
        ConfigError
            With how far they are off.
        """
        if not usable(raw, score).all():
            raise ConfigError(f"its scores of {_ROWS} known rows are not numbers from 0 to 1")
        same = np.allclose(score, self._score, rtol=0.0, atol=_SCORE_NEAR)
        if not (same and np.allclose(raw, self._raw, rtol=_RAW_NEAR, atol=_RAW_NEAR)):
            off = float(np.max(np.abs(score - self._score)))
            raise ConfigError(
                f"its scores of {_ROWS} known rows differ from the artifact's by up to {off:.3g}: it serves another"
                " model; give it this artifact (python -m bentos.fraud model triton), or this service that model's"
            )
