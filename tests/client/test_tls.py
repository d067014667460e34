"""TLS with certificates of one's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bentos.client import ClientOptions
from bentos.core.errors import ConfigError, Unavailable
from tests.client.scripted import Certificate, scripted_server
from tests.client.variants import PATIENT, AnyClient, Transport
from tests.fraud.requests import transaction_json


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    """Of 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Certificate(built.public_bytes(serialization.Encoding.PEM), private)


def test_a_certificate_is_checked(variant: tuple[Transport, bool], certificate: Certificate, tmp_path: Path) -> None:
    transport, asynchronous = variant
    pem = tmp_path / "ca.pem"
    pem.write_bytes(certificate.certificate)
    trusting = ClientOptions(timeout_seconds=30, connect_timeout_seconds=10, ca_file=pem)
    with scripted_server(transport, certificate=certificate) as server:
        with AnyClient(server.address, asynchronous=asynchronous, options=trusting) as client:
            assert client.predict(transaction_json()).score == 0.25
        with (
            AnyClient(server.address, asynchronous=asynchronous, options=PATIENT) as client,
            pytest.raises(Unavailable),
        ):
            client.predict(transaction_json(), timeout_seconds=5)


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_a_missing_file_is_named(scheme: str, tmp_path: Path) -> None:
    options = ClientOptions(ca_file=tmp_path / "none.pem")
    with pytest.raises(ConfigError, match="ca_file cannot be read"):
        AnyClient(f"{scheme}://127.0.0.1:1", asynchronous=False, options=options)
