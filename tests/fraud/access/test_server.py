"""A running server with two workers that knows its callers, on both transports."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from bentos.client import FraudClient
from bentos.client.options import ClientOptions
from bentos.core.artifact import decode_key, generate_keys
from bentos.core.errors import FraudError, NotAllowed, Overloaded, Unauthenticated
from bentos.fraud.access.keys import remove_key
from bentos.protos._generated.fraud.v1.fraud_pb2_grpc import FraudServiceStub
from bentos.protos._generated.inference.inference_pb2 import ModelMetadataRequest, ServerReadyRequest
from bentos.protos._generated.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from tests.client.variants import PATIENT
from tests.fraud.access.authority import Authority, Issuer, publishing
from tests.fraud.access.test_guard import add
from tests.fraud.artifacts import make_champion
from tests.fraud.grpc.messages import predict_request
from tests.fraud.requests import transaction_json
from tests.fraud.server import Server, environment, running_server
from tests.fraud.test_start import refusal
from tests.ports import free_port

SECONDS = 30.0


@dataclass(frozen=True)
class Guarded:
    """A running server, its callers' keys, its files."""

    server: Server
    keys: dict[str, str]
    file: Path
    log: Path
    issuer: Issuer

    @property
    def addresses(self) -> tuple[str, str]:
        """Of both transports."""
        return self.server.url, f"grpc://127.0.0.1:{self.server.grpc_port}"

    def get(self, path: str, key: str | None = None, **options: Any) -> httpx.Response:
        """GET."""
        headers = {"x-api-key": key} if key else {}
        return httpx.get(self.server.url + path, headers=headers, timeout=SECONDS, **options)

    def post(self, path: str, key: str | None = None, **options: Any) -> httpx.Response:
        """POST."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.post(self.server.url + path, headers=headers, timeout=SECONDS, **options)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server on all addresses of this machine."""
    home = tmp_path_factory.mktemp("guarded")
    make_champion(home)
    file = home / "keys.json"
    keys = {role: add(file, f"the-{role}", role) for role in ("score", "feedback", "admin")}
    keys["slow"] = add(file, "slow", "score", rows_per_second=1e-6, burst_rows=10)
    authority, issuer = Authority(home / "authority"), Issuer()
    issuer.add("one")
    with publishing(issuer, authority):
        environ = environment(
            home,
            workers=2,
            FRAUD_GRPC_PORT=str(free_port()),
            FRAUD_API_KEYS_FILE=str(file),
            FRAUD_API_KEYS_CHECK_SECONDS="0.1",
            FRAUD_JWT_JWKS_URL=issuer.url,
            FRAUD_JWT_CA_FILE=str(authority.file),
            FRAUD_JWT_ISSUER="https://issuer.test",
            FRAUD_JWT_AUDIENCE="fraud",
        )
        log = home / "server.log"
        with running_server(environ, log=log, host="0.0.0.0") as server:  # noqa: S104
            yield Guarded(server, keys, file, log, issuer)


def _called(address: str, key: str | None, options: ClientOptions = PATIENT) -> str | type[FraudError]:
    """The decision that a client gets, or its error."""
    with FraudClient(address, api_key=key, options=options) as client:
        try:
            return client.predict(transaction_json()).decision
        except FraudError as error:
            return type(error)


@pytest.mark.parametrize("transport", [0, 1], ids=["http", "grpc"])
def test_the_client_says_who_it_is(guarded: Guarded, transport: int) -> None:
    address = guarded.addresses[transport]
    assert _called(address, guarded.keys["score"]) == "approve"
    assert _called(address, guarded.issuer.token("one")) == "approve"
    assert _called(address, None) is Unauthenticated
    assert _called(address, "fraudkey_wrong") is Unauthenticated
    assert _called(address, guarded.issuer.token("one", aud="another")) is Unauthenticated
    assert _called(address, guarded.keys["admin"]) is NotAllowed
    assert _called(address, guarded.issuer.token("one", roles=["feedback"])) is NotAllowed


def test_a_refusal_says_what_is_missing_and_not_the_key(guarded: Guarded) -> None:
    nobody = guarded.post("/predict", json=transaction_json())
    assert (nobody.status_code, nobody.json()["title"]) == (401, "Not authenticated")
    assert nobody.headers["www-authenticate"].startswith("Bearer ")
    assert nobody.headers["content-type"] == "application/problem+json"
    other = guarded.post("/predict", guarded.keys["feedback"], json=transaction_json())
    assert (other.status_code, other.json()["title"]) == (403, "Not allowed")
    assert other.json()["detail"] == "this call needs the role score; 'the-feedback' has feedback"
    assert "www-authenticate" not in other.headers
    # Clients of the inference protocol show its own member alone.
    assert "no key was sent" in guarded.get("/v2/models/fraud_detector").json()["error"]


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/health", "/metrics", "/docs", "/docs.json", "/v2/health/ready"]
)
def test_pages_that_are_open_need_no_key(guarded: Guarded, path: str) -> None:
    assert guarded.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/model", "/v2/models/fraud_detector"])
def test_pages_about_the_model_need_one(guarded: Guarded, path: str) -> None:
    assert guarded.get(path).status_code == 401
    assert guarded.get(path, guarded.keys["score"]).status_code == 200


def test_the_document_says_what_each_call_needs(guarded: Guarded) -> None:
    document = guarded.get("/docs.json").json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "api_key"}
    predict, health = document["paths"]["/predict"]["post"], document["paths"]["/health"]["get"]
    assert (predict["x-role"], {"401", "403"} <= set(predict["responses"])) == ("score", True)
    assert "security" not in health
    needs = {
        path: operation.get("x-role")
        for path, item in document["paths"].items()
        for operation in item.values()
        if path != "/healthz"
    }
    open_paths = {path for path, role in needs.items() if role is None}
    assert open_paths <= {"/health", "/livez", "/readyz", "/metrics"}
    for path, role in needs.items():
        if role is not None:
            method = "GET" if "get" in document["paths"][path] else "POST"
            address = guarded.server.url + path.replace("{", "").replace("}", "")
            assert httpx.request(method, address, timeout=SECONDS).status_code == 401, path


def test_who_is_not_known_does_not_learn_what_is_there(guarded: Guarded) -> None:
    for path in ("/nothing", "/predict/", "/healthz", "//predict", "/predict%0A"):
        assert guarded.get(path).status_code == 401, path
        assert guarded.post(path, json=transaction_json()).status_code == 401, path
    assert guarded.get("/nothing", guarded.keys["feedback"]).status_code == 404
    # The framework would take this for /predict, past the gateway's limits.
    assert guarded.post("/predict%0A", guarded.keys["score"], json=transaction_json()).status_code == 404


def test_a_body_is_not_read_before_its_sender_is_known(guarded: Guarded) -> None:
    host, port = guarded.server.url.removeprefix("http://").split(":")

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
        )
        line = await asyncio.wait_for(reader.readline(), SECONDS)
        writer.close()
        return line

    assert asyncio.run(ask()).startswith(b"HTTP/1.1 401")


def test_grpc_has_the_same_table(guarded: Guarded) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{guarded.server.grpc_port}") as channel:
        assert HealthStub(channel).Check(HealthCheckRequest(), timeout=SECONDS).status == 1
        inference, fraud = GRPCInferenceServiceStub(channel), FraudServiceStub(channel)
        assert inference.ServerReady(ServerReadyRequest(), timeout=SECONDS).ready
        for call, message in (
            (inference.ModelMetadata, ModelMetadataRequest(name="fraud_detector")),
            (fraud.Predict, predict_request()),
        ):
            codes = []
            for key in (None, guarded.keys["feedback"], guarded.keys["score"]):
                metadata = (("x-api-key", key),) if key else ()
                try:
                    call(message, timeout=SECONDS, metadata=metadata)
                    codes.append("OK")
                except grpc.RpcError as error:
                    codes.append(error.code().name)  # type: ignore[attr-defined]
            assert codes == ["UNAUTHENTICATED", "PERMISSION_DENIED", "OK"]


def test_a_limit_is_shared_by_workers_and_transports(guarded: Guarded) -> None:
    key, impatient = guarded.keys["slow"], ClientOptions(timeout_seconds=SECONDS, retries=0, connect_timeout_seconds=10)
    # A connection each, so that both workers get some.
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda n: _called(guarded.addresses[n % 2], key, impatient), range(24)))
    assert sorted(map(str, results)) == sorted(["approve"] * 10 + [str(Overloaded)] * 14)
    refused = guarded.post("/predict", key, json=transaction_json())
    assert (refused.status_code, refused.json()["title"]) == (429, "Too many requests")
    assert int(refused.headers["retry-after"]) > 1
    # Others do not notice, and what needs no key is not limited.
    assert guarded.post("/predict", guarded.keys["score"], json=transaction_json()).status_code == 200
    assert guarded.get("/health").status_code == 200


def test_rows_of_many_are_charged(guarded: Guarded) -> None:
    key, answers = add(guarded.file, "many", "score", rows_per_second=0.1, burst_rows=400), []

    def known_everywhere() -> bool:
        latest = [guarded.get("/model", key).status_code for _ in range(24)]
        answers.extend(latest)
        return set(latest) == {200}

    _await(known_everywhere)
    rows = [transaction_json(amount=amount) for amount in range(1, 501)]
    assert guarded.post("/predict_many", key, json={"transactions": rows}).status_code == 200
    refused = guarded.post("/predict", key, json=transaction_json())
    assert refused.status_code == 429
    # Each answer took a row, 500 more were taken and one is wanted; 400 were there; each takes 10 seconds.
    wanted = 10 * (answers.count(200) + 501 - 400)
    assert wanted - 100 <= int(refused.headers["retry-after"]) <= wanted + 100


def test_keys_change_while_the_server_runs(guarded: Guarded) -> None:
    key = add(guarded.file, "guest", "score")
    _await(lambda: _everywhere(guarded, key) == {200})
    remove_key(guarded.file, "guest")
    _await(lambda: _everywhere(guarded, key) == {401})
    assert _everywhere(guarded, guarded.keys["score"]) == {200}


def test_a_broken_file_is_seen_and_keeps_the_keys(guarded: Guarded) -> None:
    good = guarded.file.read_bytes()
    guarded.file.write_text("broken CANARY-OF-A-BROKEN-FILE")
    _await(lambda: _healths(guarded) == {"degraded"})
    health = guarded.get("/health")
    assert health.json()["dependencies"]["api_keys"]["status"] == "failing"
    assert health.json()["status"] == "degraded"
    assert "CANARY" not in health.text
    assert _everywhere(guarded, guarded.keys["score"]) == {200}
    guarded.file.write_bytes(good)
    _await(lambda: _healths(guarded) == {"ok"})
    assert "CANARY-OF" not in guarded.log.read_text()


def test_the_log_names_callers_and_no_key(guarded: Guarded) -> None:
    token = guarded.issuer.token("one", sub="a-subject")
    assert guarded.post("/predict", token, json=transaction_json()).status_code == 200
    guarded.post("/predict", guarded.keys["score"], json=transaction_json())
    guarded.post("/predict", guarded.keys["score"] + "x", json=transaction_json())
    _await(lambda: '"caller":"a-subject"' in guarded.log.read_text())
    text = guarded.log.read_text()
    callers = {json.loads(line).get("caller") for line in text.splitlines() if line.startswith('{"timestamp":')}
    assert {"the-score", "a-subject"} <= callers
    for secret in (*guarded.keys.values(), *token.split(".")):
        assert secret not in text
    scraped = guarded.get("/metrics").text
    assert "the-score" not in scraped


def test_an_artifact_that_is_not_signed_by_the_key_is_refused_at_start(tmp_path: Path) -> None:
    private, public = generate_keys()
    other, _ = generate_keys()
    make_champion(tmp_path)
    assert "has no manifest.sig" in refusal(tmp_path, "--host", "127.0.0.1", FRAUD_SIGNING_PUBLIC_KEY=public)
    for key, tampered, said in (
        (other, False, "is not the signature of the public key"),
        (private, True, "model.onnx is not as it was written"),
    ):
        home = tmp_path / said[:5]
        folder = make_champion(home, private_key=decode_key(key))
        if tampered:
            content = bytearray((folder / "model.onnx").read_bytes())
            content[-1] ^= 1
            (folder / "model.onnx").write_bytes(content)
        assert said in refusal(home, "--host", "127.0.0.1", FRAUD_SIGNING_PUBLIC_KEY=public)


# What all workers say: each call has a connection of its own, which the kernel gives to any of them.


def _healths(guarded: Guarded) -> set[str]:
    return {guarded.get("/health").json()["status"] for _ in range(24)}


def _everywhere(guarded: Guarded, key: str) -> set[int]:
    return {guarded.post("/predict", key, json=transaction_json()).status_code for _ in range(24)}


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
