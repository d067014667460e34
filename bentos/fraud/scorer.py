"""The model: from feature rows to scores, decisions and contributions. Knows nothing of transports or stores."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bentos.core.answers import Decision, ModelVersion, ThresholdPair
from bentos.core.artifact import Artifact, ModelCard
from bentos.core.errors import ArtifactCorrupt, Unavailable
from bentos.core.explain import Explainer, Reason, load_explainer, top_reasons
from bentos.core.features.definitions import FEATURE_NAMES
from bentos.fraud.rules import RuleBook

__all__ = ["Scorer", "decide"]

FloatArray = NDArray[np.float64]

_INPUT: Final = "features"
_OUTPUTS: Final = ["raw_score", "score"]
#: Relative; what float32 costs a network's logits.
_NEAR: Final = 1e-4

#: onnxruntime raises many unrelated classes; this is their only common ground.
_OrtError: Final[tuple[type[Exception], ...]] = tuple(
    kind
    for kind in vars(ort.capi.onnxruntime_pybind11_state).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)
_ANY_ROW: Final = np.zeros((1, len(FEATURE_NAMES)))
_NO_SCORE: Final[tuple[type[Exception], ...]] = (Unavailable, ValueError, *_OrtError)


def decide(score: float, thresholds: ThresholdPair) -> Decision:
    """Block from ``thresholds.block`` on, else review from ``thresholds.review`` on, else approve."""
    if score >= thresholds.block:
        return "block"
    return "review" if score >= thresholds.review else "approve"


class Scorer:
    """One loaded artifact. Safe for use by several threads.

    Parameters
    ----------
    artifact
        Verified; the session is made from its bytes, so no file can change in between.
    threads
        Threads of one call of the model.

    Raises
    ------
    ArtifactError
        When its explainer cannot be loaded.
    ArtifactCorrupt
        When its model cannot be loaded, or is not one row in, two numbers out.
    """

    def __init__(self, artifact: Artifact, *, threads: int = 1) -> None:
        self.card: ModelCard = artifact.card
        self.digest: str = artifact.digest
        self.model = ModelVersion(name=artifact.card.name, version=artifact.card.version)
        self.thresholds = ThresholdPair(review=artifact.thresholds.review, block=artifact.thresholds.block)
        #: What answers when this cannot.
        self.rules = RuleBook(artifact)
        self._session: _Session = _session(artifact.onnx, threads)
        self._explainer: Explainer = load_explainer(artifact.kind, artifact.explainer)
        self._try_out()

    def leave_model(self) -> None:
        """Give the model's memory back; another server scores from now on, and :meth:`score` raises Unavailable."""
        self._session = _Left()

    @property
    def base_value(self) -> float:
        """Raw score that the model gives without knowing any feature."""
        return self._explainer.base_value

    def score(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Raw scores and scores.

        Parameters
        ----------
        rows
            float64 [n, 21] in the order of ``FEATURES``; cast to float32, as in training.

        Returns
        -------
        tuple
            Raw scores (the forest's probability or the network's logit difference) and calibrated probabilities,
            each float64 [n].

        Raises
        ------
        Unavailable
            When the model yields what is no score: every comparison with NaN is false, so it would be approved.
        """
        raw, score = self._session.run(_OUTPUTS, {_INPUT: rows.astype(np.float32)})
        raw, score = np.asarray(raw, np.float64).ravel(), np.asarray(score, np.float64).ravel()
        # Over lists, because batches are short: numpy's comparisons of one row take five times as long. NaN fails each.
        if not (isfinite(sum(raw.tolist())) and all(0.0 <= one <= 1.0 for one in score.tolist())):
            raise Unavailable("the model yields scores that are not numbers from 0 to 1")
        return raw, score

    def works(self) -> bool:
        """Whether it can still score the row that it could when it was loaded."""
        try:
            self.score(_ANY_ROW)
        except Exception:  # noqa: BLE001 - whatever it is: it does not work
            return False
        return True

    def contributions(self, rows: FloatArray) -> FloatArray:
        """Contribution of every feature to the raw score, float64 [n, 21]; see :meth:`score` for the rows."""
        return self._explainer.contributions(rows.astype(np.float32))

    def reasons(self, row: FloatArray, contributions: FloatArray) -> list[Reason]:
        """The three largest contributions of one row, float64 [21] each, with words."""
        return top_reasons(row, contributions)

    def _try_out(self) -> None:
        # The first run of a session allocates, and a wrong model is better found here than by a customer.
        row = _ANY_ROW
        try:
            raw, _ = self.score(row)
        except _NO_SCORE as error:
            raise ArtifactCorrupt(f"the artifact's model cannot score a row: {error}") from error
        total = self.base_value + float(self.contributions(row).sum())
        if abs(total - raw[0]) > _NEAR * max(1.0, abs(total)):
            raise ArtifactCorrupt(
                f"the artifact's explainer does not belong to its model: contributions sum up to {total}, the raw score"
                f" is {raw[0]}; export the model again"
            )


class _Session(Protocol):
    def run(self, outputs: list[str], inputs: dict[str, Any]) -> Any: ...


class _Left:
    def run(self, _outputs: list[str], _inputs: dict[str, Any]) -> Any:
        raise Unavailable("the model is on another server")


def _session(model: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A spinning thread burns the core that the next request needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except _OrtError as error:
        raise ArtifactCorrupt(f"the artifact's model cannot be loaded: {error}") from error
    found = [item.name for item in session.get_inputs()], [item.name for item in session.get_outputs()]
    if found[0] != [_INPUT] or not set(_OUTPUTS) <= set(found[1]):
        raise ArtifactCorrupt(
            f"the artifact's model has inputs {found[0]} and outputs {found[1]}, expected {[_INPUT]} and {_OUTPUTS}"
        )
    return session
