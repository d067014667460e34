"""Ports that the workers of one server share, and nobody else.

With SO_REUSEPORT the kernel spreads connections over all who listen on a port, whoever they are: two servers that are
given the same port would silently answer for each other. So the process that starts the workers takes the port alone
first, and then keeps a socket on it that does not listen. Two sockets share a port when both have SO_REUSEPORT, or both
SO_REUSEADDR and none listens; what a stopped server leaves behind for a minute has both. So taking it alone, with
SO_REUSEADDR only, fails when there is a server or its reservation, which has SO_REUSEPORT only, and nothing else.
"""

from __future__ import annotations

import socket

from bentos.core.errors import ConfigError, Unavailable

__all__ = ["listen", "reserve_port"]

_BACKLOG = 2048


def reserve_port(host: str, port: int) -> socket.socket:
    """Take a port for the workers of this server.

    Parameters
    ----------
    host
        Name or address.
    port
        0 takes any free one.

    Returns
    -------
    socket.socket
        Bound and not listening; the port is reserved until it is closed. ``getsockname()[1]`` is the port.

    Raises
    ------
    Unavailable
        Somebody else has the port.
    ConfigError
        There is no such host here.
    """
    with _bound(host, port, socket.SO_REUSEADDR) as alone:
        chosen: int = alone.getsockname()[1]
    return _bound(host, chosen, socket.SO_REUSEPORT)


def listen(host: str, port: int) -> socket.socket:
    """Listen on a port beside the other workers.

    Raises
    ------
    Unavailable, ConfigError
        See :func:`reserve_port`.
    """
    joined = _bound(host, port, socket.SO_REUSEADDR, socket.SO_REUSEPORT)
    joined.listen(_BACKLOG)
    return joined


def _bound(host: str, port: int, *options: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"FRAUD_GRPC_HOST: {host!r} is no address of this machine: {error.strerror}") from error
    try:
        for option in options:
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise Unavailable(
            f"gRPC's port {port} on {host} cannot be taken: {error.strerror}; set FRAUD_GRPC_PORT to another, or to 0"
            " to serve no gRPC"
        ) from error
    return bound
