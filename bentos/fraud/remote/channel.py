"""Channels of gRPC to another server, and what its errors mean here. gRPC is imported when one is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from bentos.core.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    import grpc
    import grpc.aio

__all__ = [
    "Busy",
    "Late",
    "Peer",
    "Refused",
    "Unknown",
    "Unsuited",
    "describer",
    "open_blocking_channel",
    "open_channel",
]


class Late(Unavailable):
    """No answer in time."""


class Unknown(Unavailable):
    """The server does not have what was asked for."""


class Busy(Unavailable):
    """The server sheds load."""


class Refused(Unavailable):
    """The server knows no such key, or does not allow it this."""


class Unsuited(Unavailable):
    """The server cannot do this with what it has."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another server.

    Parameters
    ----------
    url
        grpc://host:port, or grpcs:// with TLS.
    api_key
        Sent as ``authorization: Bearer``; None sends nothing.
    ca_file
        Certificates, PEM, that the server's has to be signed by. None means those that gRPC brings.
    ca_setting
        The setting that names that file, for messages.
    """

    url: str
    api_key: SecretStr | None
    ca_file: Path | None
    ca_setting: str

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        key = self.api_key
        return (("authorization", f"Bearer {key.get_secret_value()}"),) if key else ()

    @property
    def target(self) -> str:
        """Resolved by DNS and spread over what it names: a headless service of Kubernetes names every replica."""
        return f"dns:///{self.url.partition('://')[2]}"

    @property
    def encrypted(self) -> bool:
        """Whether it is spoken to with TLS."""
        return self.url.startswith("grpcs://")


_OPTIONS: Final[list[tuple[str, Any]]] = [
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.enable_http_proxy", 0),
    # A channel that is opened after a failure connects anew instead of sharing what failed.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    # Two minutes, the default, is how long a server that is back would not be noticed.
    ("grpc.max_reconnect_backoff_ms", 1000),
]


def open_channel(peer: Peer) -> grpc.aio.Channel:
    """A channel that belongs to the event loop that runs.

    Raises
    ------
    ConfigError
        When the file of certificates cannot be read.
    """
    import grpc
    import grpc.aio

    if peer.encrypted:
        return grpc.aio.secure_channel(peer.target, _credentials(grpc, peer), _OPTIONS)
    return grpc.aio.insecure_channel(peer.target, _OPTIONS)


def open_blocking_channel(peer: Peer) -> grpc.Channel:
    """A channel whose calls block their thread; raises as :func:`open_channel`."""
    import grpc

    if peer.encrypted:
        return grpc.secure_channel(peer.target, _credentials(grpc, peer), _OPTIONS)
    return grpc.insecure_channel(peer.target, _OPTIONS)


def describer() -> tuple[type[Exception], Callable[[Any], Unavailable]]:
    """What calls of a channel raise, and what makes it one of this module's errors."""
    import grpc

    codes = grpc.StatusCode
    kinds = {
        codes.NOT_FOUND: Unknown,
        codes.UNIMPLEMENTED: Unknown,
        codes.RESOURCE_EXHAUSTED: Busy,
        codes.UNAUTHENTICATED: Refused,
        codes.PERMISSION_DENIED: Refused,
        codes.FAILED_PRECONDITION: Unsuited,
    }

    def describe(error: Any) -> Unavailable:
        code = error.code()
        if code is codes.DEADLINE_EXCEEDED:
            return Late("it gave no answer in time")
        return kinds.get(code, Unavailable)(f"{code.name}: {error.details() or 'no detail was given'}")

    return grpc.RpcError, describe


def _credentials(library: Any, peer: Peer) -> grpc.ChannelCredentials:
    try:
        roots = None if peer.ca_file is None else peer.ca_file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{peer.ca_setting} cannot be read: {error}") from error
    credentials: grpc.ChannelCredentials = library.ssl_channel_credentials(roots)
    return credentials
