"""A small real server of ShadowService that does what a test wants of it: waits, errs, or answers wrongly."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import numpy as np

from bentos.core.features.definitions import FEATURE_NAMES
from bentos.fraud.scorer import Scorer
from bentos.protos._generated.fraud.v1.shadow_pb2 import DESCRIPTOR, ScoreRequest, ScoreResponse

SERVICE = DESCRIPTOR.services_by_name["ShadowService"].full_name
SECONDS = 60.0


@dataclass
class Peer:
    """What the server does; a test changes it while it runs."""

    scorer: Scorer
    #: While it is not set, calls wait.
    gate: threading.Event = field(default_factory=threading.Event)
    #: Ends calls with this code.
    code: grpc.StatusCode | None = None
    #: Changes each answer before it is sent.
    change: Callable[[ScoreResponse], None] = lambda _: None
    #: Rows of each call that came.
    calls: list[int] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """For FRAUD_SHADOW_URL."""
        return f"grpc://127.0.0.1:{self.port}"

    def score(self, request: ScoreRequest, context: grpc.ServicerContext) -> ScoreResponse:
        """Score rows."""
        self.calls.append(request.rows)
        self.gate.wait(SECONDS)
        if self.code is not None:
            context.abort(self.code, "as the test wants it")
        rows = np.frombuffer(request.features, "<f4").reshape(request.rows, len(FEATURE_NAMES))
        answer = ScoreResponse(
            model_name=self.scorer.model.name,
            model_version=self.scorer.model.version,
            review=self.scorer.thresholds.review,
            block=self.scorer.thresholds.block,
            scores=self.scorer.score(rows.astype(np.float64))[1].tolist(),
        )
        self.change(answer)
        return answer


@contextlib.contextmanager
def running_peer(scorer: Scorer) -> Iterator[Peer]:
    """Serve until the block ends."""
    peer = Peer(scorer)
    peer.gate.set()
    handler = grpc.unary_unary_rpc_method_handler(
        peer.score,
        request_deserializer=ScoreRequest.FromString,
        response_serializer=lambda answer: answer.SerializeToString(),
    )
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, handlers=[grpc.method_handlers_generic_handler(SERVICE, {"Score": handler})])
        peer.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield peer
        finally:
            peer.gate.set()
            server.stop(None).wait()
