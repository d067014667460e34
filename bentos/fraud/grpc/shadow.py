"""fraud.v1.ShadowService: scores copies of transactions that a champion answers.

It is harmless to whoever may score: nothing is looked up or recorded, no prediction is counted, and customers' single
calls go first.
"""

from __future__ import annotations

from typing import Final

from bentos.core.errors import Conflict
from bentos.core.features.definitions import FEATURE_NAMES, FEATURE_SCHEMA
from bentos.fraud.grpc.calls import Call
from bentos.fraud.grpc.convert import read_message
from bentos.fraud.grpc.methods import Methods, UnaryMethod
from bentos.fraud.inference.protocol import INPUT, InputTensor
from bentos.fraud.inference.tensors import feature_rows, shown
from bentos.fraud.predictor import MAXIMUM_ROWS, Predictor
from bentos.fraud.settings import ScoringSettings
from bentos.protos._generated.fraud.v1.shadow_pb2 import DESCRIPTOR, ScoreRequest, ScoreResponse

__all__ = ["SERVICE", "ShadowService"]

SERVICE: Final = DESCRIPTOR.services_by_name["ShadowService"].full_name
#: Longest message: elements of 4 bytes, and all else.
_LIMIT_BYTES: Final = MAXIMUM_ROWS * len(FEATURE_NAMES) * 4 + 4096


class ShadowService:
    """The call of a champion's service.

    Parameters
    ----------
    predictor
        Scores.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def methods(self, settings: ScoringSettings) -> Methods:
        """The service's method, with a label of its own: copies are no requests of customers."""
        most = min(settings.many_body_limit_bytes, _LIMIT_BYTES)
        return {f"/{SERVICE}/Score": UnaryMethod("shadow", self.score, most, self._predictor.admit)}

    async def score(self, message: bytes, call: Call) -> bytes:
        """Score feature rows."""
        request = read_message(ScoreRequest, message)
        if request.feature_schema != FEATURE_SCHEMA:
            raise Conflict(
                f"the rows are of the feature schema {shown(request.feature_schema)}, this model's is"
                f" {FEATURE_SCHEMA!r}: the two models cannot be compared in the shadow"
            )
        shape = (request.rows, len(FEATURE_NAMES))
        tensor = InputTensor(INPUT.name, "FP32", shape, memoryview(request.features), "rows", "features")
        _, scores = await self._predictor.infer(feature_rows(tensor), call.deadline)
        scorer = self._predictor.scorer
        return ScoreResponse(
            model_name=scorer.model.name,
            model_version=scorer.model.version,
            review=scorer.thresholds.review,
            block=scorer.thresholds.block,
            scores=scores.tolist(),
        ).SerializeToString()
