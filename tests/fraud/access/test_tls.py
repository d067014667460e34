"""TLS of gRPC, with certificates of an authority of the test's own."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from bentos.client import ClientOptions, FraudClient
from bentos.core.answers import Prediction
from bentos.core.errors import ConfigError, Unavailable
from bentos.fraud.access.settings import AccessSettings
from bentos.fraud.access.tls import Tls, open_tls
from bentos.fraud.settings import ScoringSettings
from bentos.protos._generated.fraud.v1.fraud_pb2_grpc import FraudServiceStub
from tests.fraud.access.authority import Authority
from tests.fraud.grpc.messages import predict_request
from tests.fraud.grpc.serving import HOST, Serving, serving_application
from tests.fraud.requests import transaction_json
from tests.fraud.server import ROOT, bentoml_command, environment
from tests.ports import free_port

SECONDS = 30.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Of the server's certificates."""
    return Authority(tmp_path / "authority")


@contextlib.contextmanager
def _serving(home: Path, **files: Path) -> Iterator[Serving]:
    def settings(port: int) -> ScoringSettings:
        return ScoringSettings(
            home=home,
            grpc_host=HOST,
            grpc_port=port,
            deadline_milliseconds=60_000,
            **files,  # type: ignore[arg-type]
        )

    with serving_application(settings) as opened:
        yield opened


def _predict(serving: Serving, credentials: grpc.ChannelCredentials) -> str:
    options = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.secure_channel(serving.address, credentials, options) as channel:
        try:
            FraudServiceStub(channel).Predict(predict_request(), timeout=SECONDS)
        except grpc.RpcError as error:
            return str(error.code().name)  # type: ignore[attr-defined]
    return "OK"


def _common_name(serving: Serving, authority: Authority) -> str:
    """Of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=authority.file)
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((HOST, serving.server.port), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as secure,
    ):
        shown = secure.getpeercert(binary_form=True)
        assert secure.selected_alpn_protocol() == "h2"
    assert shown is not None
    (name,) = x509.load_der_x509_certificate(shown).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value)


def test_calls_over_tls_and_none_without(home: Path, authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("first")
    with _serving(home, grpc_tls_certificate=certificate, grpc_tls_key=key) as serving:
        trusting = ClientOptions(timeout_seconds=SECONDS, connect_timeout_seconds=10, ca_file=authority.file)
        with FraudClient(f"grpcs://{serving.address}", options=trusting) as client:
            assert client.predict(transaction_json()).degraded == ()
            rows = [transaction_json(amount=amount) for amount in range(1, 2000)]
            assert len(client.predict_many(rows, timeout_seconds=SECONDS)) == 1999
        stranger = Authority(tmp_path / "another")
        for address, file in ((f"grpcs://{serving.address}", stranger.file), (f"grpc://{serving.address}", None)):
            with (
                FraudClient(address, options=ClientOptions(ca_file=file, retries=0)) as client,
                pytest.raises(Unavailable),
            ):
                client.predict(transaction_json(), timeout_seconds=3)


def test_a_new_certificate_is_shown_to_new_connections(home: Path, authority: Authority) -> None:
    certificate, key = authority.issue("served")
    with _serving(home, grpc_tls_certificate=certificate, grpc_tls_key=key) as serving:
        assert _common_name(serving, authority) == "served"
        trusted = grpc.ssl_channel_credentials(authority.file.read_bytes())
        options = (("grpc.use_local_subchannel_pool", 1),)
        with grpc.secure_channel(serving.address, trusted, options) as before:
            FraudServiceStub(before).Predict(predict_request(), timeout=SECONDS)
            for source, target in zip(authority.issue("renewed"), (certificate, key), strict=True):
                source.replace(target)
            _refresh(serving)
            assert _common_name(serving, authority) == "renewed"
            # Who is connected goes on.
            FraudServiceStub(before).Predict(predict_request(), timeout=SECONDS)
        assert _predict(serving, trusted) == "OK"


def test_a_pair_that_does_not_belong_together_is_not_taken(
    home: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = authority.issue("served")
    good = certificate.read_bytes()
    with _serving(home, grpc_tls_certificate=certificate, grpc_tls_key=key) as serving:
        # What is seen between the writing of one file and of the other.
        certificate.write_bytes(authority.issue("renewed")[0].read_bytes())
        _refresh(serving)
        assert "certificate stays as it was" in caplog.text
        assert serving.application is not None
        assert serving.application.health().dependencies["grpc_certificate"].status == "failing"
        assert _common_name(serving, authority) == "served"
        certificate.write_bytes(good)
        _refresh(serving)
        assert serving.application.health().status == "ok"
        assert _common_name(serving, authority) == "served"


def test_clients_must_show_a_certificate_of_the_authority_when_one_is_named(
    home: Path, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("served")
    clients, strangers = Authority(tmp_path / "clients"), Authority(tmp_path / "strangers")
    root = authority.file.read_bytes()

    def credentials(signer: Authority) -> grpc.ChannelCredentials:
        own, private = signer.issue("client")
        return grpc.ssl_channel_credentials(root, private.read_bytes(), own.read_bytes())

    files = {"grpc_tls_certificate": certificate, "grpc_tls_key": key, "grpc_tls_client_ca": clients.file}
    with _serving(home, **files) as serving:
        assert _predict(serving, credentials(clients)) == "OK"
        assert _predict(serving, credentials(strangers)) == "UNAVAILABLE"
        assert _predict(serving, grpc.ssl_channel_credentials(root)) == "UNAVAILABLE"
        own, private = clients.issue("client")
        options = ClientOptions(
            timeout_seconds=SECONDS,
            connect_timeout_seconds=10,
            ca_file=authority.file,
            certificate_file=own,
            key_file=private,
        )
        with FraudClient(f"grpcs://{serving.address}", options=options) as client:
            assert client.predict(transaction_json()).degraded == ()


def test_https_and_client_certificates_are_bentomls_own_options(
    home: Path, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("served")
    clients = Authority(tmp_path / "clients")
    own, private = clients.issue("client")
    arguments = ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)]
    arguments += ["--ssl-ca-certs", str(clients.file), "--ssl-cert-reqs", str(int(ssl.CERT_REQUIRED))]
    port = free_port()
    command = bentoml_command("serve", "--host", HOST, "--port", str(port), *arguments)
    options = ClientOptions(
        timeout_seconds=5, connect_timeout_seconds=5, ca_file=authority.file, certificate_file=own, key_file=private
    )
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with FraudClient(f"https://{HOST}:{port}", options=options) as client:
            assert _answer_when_ready(client).degraded == ()
        without = ClientOptions(ca_file=authority.file, retries=0, timeout_seconds=5, connect_timeout_seconds=5)
        with FraudClient(f"https://{HOST}:{port}", options=without) as client, pytest.raises(Unavailable):
            client.predict(transaction_json())
    finally:
        process.terminate()
        process.wait(30)


def test_old_versions_of_tls_are_refused(authority: Authority) -> None:
    context = Tls(*authority.issue("served"), None).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("missing", ["grpc_tls_certificate", "grpc_tls_key"])
def test_half_a_pair_is_refused(authority: Authority, missing: str) -> None:
    certificate, key = authority.issue("served")
    settings = AccessSettings(**{"grpc_tls_certificate": certificate, "grpc_tls_key": key, missing: None})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="come together"):
        open_tls(settings)


def test_a_file_that_cannot_be_used_is_named(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("served")
    broken = tmp_path / "broken.pem"
    broken.write_text("CANARY")
    locked = tmp_path / "locked.key"
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    for files in ((broken, key, None), (certificate, broken, None), (certificate, locked, None)):
        with pytest.raises(ConfigError, match="cannot be used") as caught:
            Tls(*files)
        assert "CANARY" not in str(caught.value)
    with pytest.raises(ConfigError, match="FRAUD_GRPC_TLS_CLIENT_CA"):
        Tls(certificate, key, broken)
    assert open_tls(AccessSettings()) is None


def _answer_when_ready(client: FraudClient) -> Prediction:
    deadline = time.monotonic() + 60
    while True:
        try:
            return client.predict(transaction_json())
        except Unavailable:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def _refresh(serving: Serving) -> None:
    # What the server does by itself every few seconds.
    async def refresh() -> None:
        assert serving.server._tls is not None
        serving.server._tls.refresh()

    serving.loop.run(refresh())
