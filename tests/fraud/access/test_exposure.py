"""A server that anybody could reach does not start by accident."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bentos.core.errors import ConfigError
from bentos.fraud.access.exposure import check_exposure, is_local
from bentos.fraud.access.settings import AccessSettings
from bentos.fraud.bento.address import inherited_host
from tests.fraud.server import ROOT, environment
from tests.fraud.test_start import refusal
from tests.ports import free_port

OPEN = "would be open to everybody"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_is_no_exposure(host: str) -> None:
    assert is_local(host)
    check_exposure(AccessSettings(), HTTP=host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "192.168.1.2", "fraud.test", ""])  # noqa: S104
def test_any_other_address_is(host: str) -> None:
    assert not is_local(host)
    with pytest.raises(ConfigError, match=r"gRPC on .* would be open to everybody"):
        check_exposure(AccessSettings(), HTTP="127.0.0.1", gRPC=host)


def test_keys_tokens_or_an_explicit_word_allow_it(caplog: pytest.LogCaptureFixture) -> None:
    for settings in (
        AccessSettings(api_keys_file=Path("keys.json")),
        AccessSettings(jwt_jwks_url="https://issuer.test/keys"),
    ):
        check_exposure(settings, HTTP="0.0.0.0")  # noqa: S104
    assert caplog.text == ""
    check_exposure(AccessSettings(allow_unauthenticated=True), HTTP="0.0.0.0")  # noqa: S104
    assert "HTTP on 0.0.0.0 is open to everybody" in caplog.text


# The ways in which BentoML is told an address, each through the real command.


@pytest.mark.parametrize(
    ("arguments", "settings", "exposed"),
    [
        ((), {}, "HTTP on 0.0.0.0"),
        (("--host", "0.0.0.0"), {}, "HTTP on 0.0.0.0"),  # noqa: S104
        ((), {"BENTOML_HOST": "::"}, "HTTP on ::"),
        (("--host", "127.0.0.1"), {"FRAUD_GRPC_HOST": "0.0.0.0"}, "gRPC on 0.0.0.0"),  # noqa: S104
    ],
)
def test_a_server_without_keys_is_refused_at_start(
    home: Path, arguments: tuple[str, ...], settings: dict[str, str], exposed: str
) -> None:
    message = refusal(home, *arguments, FRAUD_GRPC_PORT=str(free_port()), **settings)
    assert exposed in message
    assert OPEN in message
    for way_out in ("--host 127.0.0.1", "keys create", "FRAUD_API_KEYS_FILE", "FRAUD_ALLOW_UNAUTHENTICATED"):
        assert way_out in message


def test_bentomls_own_configuration_is_no_way_around(home: Path) -> None:
    option = "services.fraud_detector.http.host=192.0.2.1"
    # BentoML reports first that it was set.
    assert "HTTP on 192.0.2.1" in refusal(home, lines=2, BENTOML_CONFIG_OPTIONS=option)


def test_keys_that_cannot_be_read_are_refused_at_start(home: Path) -> None:
    message = refusal(home, "--host", "127.0.0.1", FRAUD_API_KEYS_FILE=str(home / "absent.json"))
    assert "absent.json cannot be read" in message


def test_half_of_tls_is_refused_at_start(home: Path) -> None:
    message = refusal(home, "--host", "127.0.0.1", FRAUD_GRPC_TLS_CERTIFICATE=str(home / "c.pem"))
    assert "FRAUD_GRPC_TLS_KEY" in message


def test_a_worker_knows_the_address_of_the_socket_that_it_was_given() -> None:
    assert inherited_host() is None
    with socket.socket() as listening, click.Context(click.Command("worker")) as context:
        listening.bind(("127.0.0.1", 0))
        context.params["fd"] = listening.fileno()
        assert inherited_host() == "127.0.0.1"
        # It is still open.
        assert listening.getsockname()[0] == "127.0.0.1"
    with socket.socket(socket.AF_UNIX) as listening, click.Context(click.Command("worker")) as context:
        context.params["fd"] = listening.fileno()
        assert inherited_host() is None


def test_a_worker_that_finds_itself_exposed_does_not_serve(home: Path) -> None:
    """Whatever way it was started, and whatever that process was told."""
    with socket.socket() as listening:
        listening.bind(("0.0.0.0", 0))  # noqa: S104
        listening.listen()
        handle = listening.fileno()
        worker = [sys.executable, "-m", "_bentoml_impl.worker.service", ".", "--fd", str(handle), "--worker-id", "1"]
        with pytest.raises(subprocess.CalledProcessError) as caught:
            subprocess.run(
                worker,
                cwd=ROOT,
                env=environment(home),
                pass_fds=(handle,),
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
    assert "HTTP on 0.0.0.0" in caught.value.stderr
    assert OPEN in caught.value.stderr
