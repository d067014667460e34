"""A small real server of the Open Inference Protocol that does what a test wants of it: waits, errs, or is another."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from bentos.fraud.inference.protocol import model_metadata
from bentos.fraud.scorer import Scorer
from bentos.protos._generated.inference.inference_pb2 import (
    DESCRIPTOR,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
)

SERVICE = DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
SECONDS = 60.0


@dataclass
class Peer:
    """What the server does; a test changes it while it runs."""

    scorer: Scorer
    #: While it is not set, calls of ModelInfer wait.
    gate: threading.Event = field(default_factory=threading.Event)
    #: Changes each answer before it is sent.
    change: Callable[[ModelInferResponse], None] = lambda _: None
    #: Changes what it says of the model.
    describe: Callable[[ModelMetadataResponse], None] = lambda _: None
    #: Rows of each call that came.
    calls: list[int] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """For FRAUD_MODEL_URL."""
        return f"grpc://127.0.0.1:{self.port}"

    def metadata(self, request: ModelMetadataRequest, context: grpc.ServicerContext) -> ModelMetadataResponse:
        found = model_metadata(self.scorer.model)
        if request.name != found.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.name!r}")
        answer = ModelMetadataResponse(name=found.name, versions=found.versions, platform=found.platform)
        for tensors, to in ((found.inputs, answer.inputs), (found.outputs, answer.outputs)):
            for tensor in tensors:
                to.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        self.describe(answer)
        return answer

    def infer(self, request: ModelInferRequest, _: grpc.ServicerContext) -> ModelInferResponse:
        rows = np.frombuffer(request.raw_input_contents[0], "<f4").reshape(tuple(request.inputs[0].shape))
        self.calls.append(len(rows))
        self.gate.wait(SECONDS)
        outputs = dict(zip(("raw_score", "score"), self.scorer.score(rows.astype(np.float64)), strict=True))
        answer = ModelInferResponse(model_name=request.model_name, model_version=request.model_version)
        for output in request.outputs:
            # As Triton does with a batched output of one number a row.
            answer.outputs.add(name=output.name, datatype="FP64", shape=[len(rows), 1])
            answer.raw_output_contents.append(outputs[output.name].astype("<f8").tobytes())
        self.change(answer)
        return answer


@contextlib.contextmanager
def running_peer(scorer: Scorer) -> Iterator[Peer]:
    """Serve until the block ends."""
    peer = Peer(scorer)
    peer.gate.set()
    kinds: dict[str, tuple[Any, Any]] = {
        "ModelMetadata": (peer.metadata, ModelMetadataRequest),
        "ModelInfer": (peer.infer, ModelInferRequest),
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            call, request_deserializer=kind.FromString, response_serializer=lambda answer: answer.SerializeToString()
        )
        for name, (call, kind) in kinds.items()
    }
    with ThreadPoolExecutor(16) as pool:
        server = grpc.server(pool, handlers=[grpc.method_handlers_generic_handler(SERVICE, handlers)])
        peer.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield peer
        finally:
            peer.gate.set()
            server.stop(None).wait()
