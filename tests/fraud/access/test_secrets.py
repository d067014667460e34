"""Secrets stay where they are: not in logs, health, errors, help or what settings look like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from pydantic import SecretStr

from bentos.core.artifact import generate_keys
from bentos.core.errors import ConfigError
from bentos.core.settings import TrainingSettings, load_settings
from bentos.fraud.settings import ScoringSettings
from tests.fraud.access.test_guard import add
from tests.fraud.artifacts import make_champion
from tests.fraud.requests import transaction_json
from tests.fraud.server import ROOT, environment, running_server
from tests.fraud.test_start import refusal
from tests.ports import free_port

CANARY = "CANARY-d41d8cd9"
#: Texts whose names sound like secrets and that are none: a public key, where public keys are published, where traces
#: and files of jobs go. Addresses with a password in them are refused or not shown.
_NO_SECRETS = {
    *("signing_public_key", "jwt_jwks_url", "otlp_endpoint", "jobs_url", "mlflow_tracking_uri", "model_url"),
    "shadow_url",
}
#: What a secret must look like beside itself.
_FORMS = {
    "queue_url": "redis://:{}@127.0.0.1/0",
    "redis_url": "redis://:{}@127.0.0.1/0",
    "records_url": "postgresql+psycopg://fraud:{}@127.0.0.1/fraud",
}
_SOUND_SECRET = ("key", "secret", "password", "token", "url", "uri", "credential", "dsn")


def _fields(kind: type[Any]) -> dict[str, tuple[Any, ...]]:
    return {name: get_args(field.annotation) or (field.annotation,) for name, field in kind.model_fields.items()}


def _secret_names(kind: type[Any]) -> list[str]:
    return [name for name, kinds in _fields(kind).items() if SecretStr in kinds]


@pytest.mark.parametrize("kind", [ScoringSettings, TrainingSettings])
def test_a_setting_that_sounds_like_a_secret_is_one(kind: type[Any]) -> None:
    plain = {
        name
        for name, kinds in _fields(kind).items()
        if str in kinds and any(word in name for word in _SOUND_SECRET) and name not in _NO_SECRETS
    }
    assert plain == set()


@pytest.mark.parametrize("kind", [ScoringSettings, TrainingSettings])
def test_settings_do_not_show_their_secrets(kind: type[Any]) -> None:
    names = _secret_names(kind)
    assert names
    settings = kind(**{name: SecretStr(_FORMS.get(name, "{}").format(CANARY)) for name in names})
    assert all(CANARY in getattr(settings, name).get_secret_value() for name in names)
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert CANARY not in shown


def test_wrong_settings_are_named_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_GRPC_PORT", CANARY)
    monkeypatch.setenv("FRAUD_RATE_LIMIT_ROWS_PER_SECOND", CANARY)
    with pytest.raises(ConfigError) as caught:
        load_settings(ScoringSettings)
    assert "FRAUD_GRPC_PORT" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_server_keeps_its_secrets(tmp_path: Path) -> None:
    home = tmp_path
    make_champion(home)
    key = add(home / "keys.json", "shop", "score")
    digest = (home / "keys.json").read_text().partition('"sha256": "')[2][:64]
    ports = free_port(), free_port()
    environ = environment(
        home,
        FRAUD_GRPC_PORT=str(ports[0]),
        FRAUD_API_KEYS_FILE=str(home / "keys.json"),
        FRAUD_PSEUDONYM_KEY=f"{CANARY}-pseudonym",
        # Nobody answers there.
        FRAUD_JWT_JWKS_URL=f"https://127.0.0.1:{ports[1]}/keys?secret={CANARY}-jwks",
        FRAUD_JWT_ISSUER="https://issuer.test",
        FRAUD_JWT_AUDIENCE="fraud",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://user:{CANARY}-otlp@127.0.0.1:{ports[1]}",
        FRAUD_TRACE_RATIO="1",
        FRAUD_LOG_LEVEL="debug",
    )
    seen = []
    log = home / "server.log"
    with running_server(environ, log=log) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        for path, headers, body in (
            ("/predict", {"authorization": f"Bearer {key}"}, transaction_json()),
            ("/predict", {"authorization": f"Bearer {key}"}, {"amount": "nothing"}),
            ("/predict", {"x-api-key": f"{CANARY}-wrong"}, transaction_json()),
            ("/predict", {"authorization": f"Bearer {CANARY}.wrong.token"}, transaction_json()),
            ("/predict", {"authorization": f"Basic {CANARY}"}, transaction_json()),
            (f"/predict?api_key={CANARY}", {"x-api-key": key}, transaction_json()),
            (f"/nothing/{CANARY}", {"x-api-key": key}, {}),
            ("/model", {"x-api-key": key}, {}),
        ):
            answer = client.post(path, headers=headers, json=body)
            seen.append(answer.text.replace(f"api_key={CANARY}", "") + str(answer.headers))
        seen += [client.get(path).text for path in ("/health", "/metrics", "/docs.json")]
        assert '"jwks":{"status":"failing"' in seen[-3]
        subprocess.run(
            [sys.executable, "-c", _GRPC, f"127.0.0.1:{server.grpc_port}", CANARY], check=True, cwd=ROOT, timeout=60
        )
    seen.append(log.read_text())
    text = "\n".join(seen)
    assert "answered" in text
    for secret in (CANARY, key, digest):
        assert secret not in text, text[max(0, text.index(secret) - 300) : text.index(secret) + 100]


_GRPC = """
import sys, grpc
from bentos.protos._generated.fraud.v1 import fraud_pb2
from bentos.protos._generated.fraud.v1.fraud_pb2_grpc import FraudServiceStub
with grpc.insecure_channel(sys.argv[1]) as channel:
    try:
        FraudServiceStub(channel).Predict(
            fraud_pb2.PredictRequest(), metadata=(("x-api-key", sys.argv[2]),), timeout=30
        )
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED, error
        assert sys.argv[2] not in error.details()
"""


def test_a_start_that_fails_shows_no_secret(home: Path) -> None:
    private, public = generate_keys()
    message = refusal(
        home,
        "--host",
        "127.0.0.1",
        FRAUD_PSEUDONYM_KEY=CANARY,
        FRAUD_SIGNING_PRIVATE_KEY=private,
        FRAUD_SIGNING_PUBLIC_KEY=public,
    )
    assert "manifest.sig" in message
    assert CANARY not in message
    assert private not in message


def test_help_shows_no_secret(home: Path) -> None:
    environ = environment(home, FRAUD_PSEUDONYM_KEY=CANARY, FRAUD_API_KEYS_FILE=str(home / "keys.json"))
    for arguments in (["--help"], ["keys", "--help"], ["keys", "create", "--help"], ["keys", "list"]):
        ended = subprocess.run(
            [sys.executable, "-m", "bentos.fraud", *arguments],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert CANARY not in ended.stdout + ended.stderr
