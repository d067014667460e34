"""Real servers, HTTP and gRPC, that do what a test tells them: answer, refuse, cut the connection, never answer."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import NamedTemporaryFile
from threading import Event, Lock, Thread
from typing import Any, Literal

import grpc
from google.rpc import error_details_pb2, status_pb2

from bentos.core.answers import Prediction, Problem, ProblemField
from bentos.core.errors import FraudError, InvalidInput, Overloaded, wire_status
from bentos.protos._generated.fraud.v1 import fraud_pb2 as pb
from bentos.protos._generated.fraud.v1.fraud_pb2_grpc import FraudServiceServicer, add_FraudServiceServicer_to_server
from tests.client.variants import Transport


@dataclass(frozen=True)
class Raw:
    """A response of HTTP, word by word; ``endless`` bodies drip until the client leaves."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    endless: bool = False


#: CUT ends the connection without a response (over gRPC, which shows the same, with UNAVAILABLE).
Behaviour = Literal["answer", "cut", "hang"] | FraudError | Raw


@dataclass(frozen=True)
class Received:
    """What came with one attempt."""

    target: str
    headers: dict[str, str]
    transaction_ids: list[str]


@dataclass
class Script:
    """What to do with the next attempts; answer them when nothing is left of it."""

    behaviours: list[Behaviour] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    over: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    def next(self, received: Received) -> Behaviour:
        with self._lock:
            self.received.append(received)
            return self.behaviours.pop(0) if self.behaviours else "answer"


@dataclass(frozen=True)
class Scripted:
    """A running server."""

    address: str
    script: Script


@dataclass(frozen=True)
class Certificate:
    """PEM."""

    certificate: bytes
    key: bytes


def prediction(transaction_id: str) -> Prediction:
    """An answer."""
    return Prediction.model_validate(
        {
            "transaction_id": transaction_id,
            "score": 0.25,
            "decision": "approve",
            "thresholds": {"review": 0.5, "block": 0.75},
            "model": {"name": "scripted", "version": "1"},
            "degraded": ("customer",),
            "reasons": None,
        }
    )


@contextlib.contextmanager
def scripted_server(
    transport: Transport, *behaviours: Behaviour, certificate: Certificate | None = None
) -> Iterator[Scripted]:
    """Run a server until the block ends, with TLS when it gets a certificate."""
    script = Script(list(behaviours))
    serve = _http_server(script, certificate) if transport == "http" else _grpc_server(script, certificate)
    with serve as address:
        try:
            yield Scripted(address, script)
        finally:
            script.over.set()


@contextlib.contextmanager
def _http_server(script: Script, certificate: Certificate | None) -> Iterator[str]:
    class Handler(_Handler):
        pass

    Handler.script = script
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if certificate is not None:
            server.socket = _ssl_context(certificate).wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _ssl_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with NamedTemporaryFile() as file:
        file.write(certificate.certificate + certificate.key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes, and the second would wait for the first one's receipt.
    disable_nagle_algorithm = True
    script: Script

    def do_POST(self) -> None:
        document = json.loads(self.rfile.read(int(self.headers["content-length"])))
        rows = document.get("transactions", [document])
        ids = [row["transaction_id"] for row in rows]
        received = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, ids)
        behaviour = self.script.next(received)
        if behaviour == "hang":
            self.script.over.wait()
            self.close_connection = True
        elif behaviour == "cut":
            self.close_connection = True
        elif isinstance(behaviour, FraudError):
            self._respond(_problem(behaviour))
        elif isinstance(behaviour, Raw):
            self._respond(behaviour)
        elif "transactions" in document:
            results = [prediction(one).model_dump(mode="json") for one in ids]
            self._respond(Raw(200, json.dumps({"results": results}).encode()))
        else:
            # A newer server's member.
            answer = {**prediction(ids[0]).model_dump(mode="json"), "added_later": 1}
            self._respond(Raw(200, json.dumps(answer).encode()))

    def _respond(self, response: Raw) -> None:
        self.send_response(response.status)
        length = 10**9 if response.endless else len(response.body)
        for name, value in (("content-length", str(length)), *response.headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)
        if response.endless:
            with contextlib.suppress(OSError):
                while not self.script.over.wait(0.01):
                    self.wfile.write(b" ")
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def _problem(error: FraudError) -> Raw:
    wire = wire_status(error)
    fields = None
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/problem+json"),)
    if isinstance(error, InvalidInput):
        fields = tuple(ProblemField(path=one.path, message=one.message) for one in error.errors)
    elif isinstance(error, Overloaded):
        headers = (*headers, ("retry-after", str(error.retry_after_seconds)))
    problem = Problem(
        type="urn:fraud:problem:scripted",
        title=wire.title,
        status=wire.http.value,
        detail=str(error),
        request_id="of-the-server",
        errors=fields,
    )
    return Raw(wire.http.value, problem.wire(), headers)


@contextlib.contextmanager
def _grpc_server(script: Script, certificate: Certificate | None) -> Iterator[str]:
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads)
        add_FraudServiceServicer_to_server(_Servicer(script), server)
        if certificate is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            pair = (certificate.key, certificate.certificate)
            port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        server.start()
        try:
            yield f"grpc{'s' if certificate else ''}://127.0.0.1:{port}"
        finally:
            script.over.set()
            server.stop(None).wait()


class _Servicer(FraudServiceServicer):
    def __init__(self, script: Script) -> None:
        self._script = script

    def Predict(self, request: pb.PredictRequest, context: Any) -> pb.Prediction:  # noqa: N802 - the proto's name
        self._behave("Predict", [request.transaction], context)
        return _message(request.transaction.transaction_id)

    def Explain(self, request: pb.ExplainRequest, context: Any) -> pb.Explanation:  # noqa: N802 - the proto's name
        raise NotImplementedError(f"no script explains {request}")

    def PredictMany(  # noqa: N802 - the proto's name
        self, request: pb.PredictManyRequest, context: Any
    ) -> pb.PredictManyResponse:
        self._behave("PredictMany", list(request.transactions), context)
        results = [pb.PredictResult(prediction=_message(row.transaction_id)) for row in request.transactions]
        return pb.PredictManyResponse(results=results)

    def _behave(self, target: str, rows: list[pb.Transaction], context: Any) -> None:
        headers = dict(context.invocation_metadata())
        # The deadline travels in a header of its own, which the library reads.
        headers["x-fraud-deadline-ms"] = str(int(context.time_remaining() * 1000))
        behaviour = self._script.next(Received(target, headers, [row.transaction_id for row in rows]))
        if behaviour == "hang":
            self._script.over.wait()
        elif behaviour == "cut":
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        elif isinstance(behaviour, FraudError):
            _abort(behaviour, context)


def _message(transaction_id: str) -> pb.Prediction:
    answer = prediction(transaction_id)
    return pb.Prediction(
        transaction_id=answer.transaction_id,
        score=answer.score,
        decision=pb.DECISION_APPROVE,
        thresholds=pb.Thresholds(review=answer.thresholds.review, block=answer.thresholds.block),
        model=pb.ModelVersion(name=answer.model.name, version=answer.model.version),
        degraded=answer.degraded,
    )


def _abort(error: FraudError, context: Any) -> None:
    code = grpc.StatusCode[wire_status(error).grpc]
    status = status_pb2.Status(code=code.value[0], message=str(error))
    if isinstance(error, InvalidInput):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=one.path, description=one.message) for one in error.errors
        ]
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=violations))
    elif isinstance(error, Overloaded):
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromSeconds(error.retry_after_seconds)
        status.details.add().Pack(info)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, str(error))
