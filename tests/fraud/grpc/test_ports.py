from __future__ import annotations

import socket

import pytest

from bentos.core.errors import ConfigError, Unavailable
from bentos.fraud.grpc.ports import listen, reserve_port
from tests.fraud.grpc.serving import HOST


def _port(of: socket.socket) -> int:
    port: int = of.getsockname()[1]
    return port


def test_workers_join_a_reserved_port() -> None:
    with reserve_port(HOST, 0) as reserved, listen(HOST, _port(reserved)) as one, listen(HOST, _port(reserved)) as two:
        assert _port(one) == _port(two) == _port(reserved)


def test_a_reservation_does_not_take_connections() -> None:
    with reserve_port(HOST, 0) as reserved, socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect((HOST, _port(reserved)))


def test_another_reservation_keeps_a_second_server_out() -> None:
    with reserve_port(HOST, 0) as reserved, pytest.raises(Unavailable, match="FRAUD_GRPC_PORT"):
        reserve_port(HOST, _port(reserved))


def test_workers_keep_a_second_server_out() -> None:
    with listen(HOST, 0) as worker, pytest.raises(Unavailable, match=str(_port(worker))):
        reserve_port(HOST, _port(worker))


def test_any_other_server_keeps_it_out() -> None:
    with socket.create_server((HOST, 0)) as other, pytest.raises(Unavailable):
        reserve_port(HOST, _port(other))


def test_connections_of_a_stopped_server_do_not() -> None:
    with listen(HOST, 0) as worker:
        port = _port(worker)
        with socket.create_connection((HOST, port)) as client:
            accepted, _ = worker.accept()
            accepted.close()
            assert client.recv(1) == b""
    with reserve_port(HOST, port) as reserved:
        assert _port(reserved) == port


@pytest.mark.parametrize("host", ["no such host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_here_is_refused(host: str) -> None:
    with pytest.raises((ConfigError, Unavailable), match=host):
        reserve_port(host, 0)
