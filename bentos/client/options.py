"""How a client waits, retries and connects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bentos.core.errors import ConfigError

__all__ = ["DEFAULT_OPTIONS", "MAXIMUM_TIMEOUT_SECONDS", "ClientOptions", "check_timeout"]

#: The longest deadline that a server takes.
MAXIMUM_TIMEOUT_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """Options of a client.

    Parameters
    ----------
    timeout_seconds
        Deadline of a call for one transaction, its retries included. A checkout rarely waits longer than a second.
    many_timeout_seconds
        Deadline of a call with many, that is of up to 10,000 rows.
    connect_timeout_seconds
        How long one connection may take to come about. Shorter than the second after which TCP would try again, so
        that a retry, with its own new connection, comes first.
    retries
        How often a call is tried again at most; 0 means never.
    retry_ratio
        How many retries a call earns the client. A broken server gets this share of traffic on top, not a multiple.
    backoff_seconds
        The first retry waits up to this long, each further one up to twice as long as the one before.
    maximum_backoff_seconds
        No retry waits longer, unless the server asks for it.
    maximum_connections
        Connections of HTTP that are open at once; a further call waits. gRPC has one for all.
    ca_file
        Certificates, PEM, that servers' certificates are checked against. None means the public ones.
    certificate_file, key_file
        The client's own certificate and its private key, PEM, for servers that ask for one; both or none.

    Raises
    ------
    ConfigError
        When a number is out of its range, or of two files there is one.
    """

    timeout_seconds: float = 1.0
    many_timeout_seconds: float = 30.0
    connect_timeout_seconds: float = 0.3
    retries: int = 2
    retry_ratio: float = 0.1
    backoff_seconds: float = 0.05
    maximum_backoff_seconds: float = 1.0
    maximum_connections: int = 100
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        check_timeout(self.timeout_seconds, "timeout_seconds")
        check_timeout(self.many_timeout_seconds, "many_timeout_seconds")
        check_timeout(self.connect_timeout_seconds, "connect_timeout_seconds")
        _check("retries", self.retries, 0, 10)
        _check("retry_ratio", self.retry_ratio, 0, 1)
        _check("backoff_seconds", self.backoff_seconds, 0, 60)
        _check("maximum_backoff_seconds", self.maximum_backoff_seconds, 0, 60)
        _check("maximum_connections", self.maximum_connections, 1, 10_000)
        if (self.certificate_file is None) != (self.key_file is None):
            raise ConfigError("certificate_file and key_file come together or not at all")


def check_timeout(seconds: float, name: str) -> None:
    """Refuse a time to wait that no server takes.

    Raises
    ------
    ConfigError
        When it is not more than 0 and at most 600 seconds.
    """
    if not 0 < seconds <= MAXIMUM_TIMEOUT_SECONDS:
        raise ConfigError(f"{name} is {seconds}; it must be more than 0 and at most {MAXIMUM_TIMEOUT_SECONDS:g}")


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigError(f"{name} is {value}; it must lie between {least} and {most}")


DEFAULT_OPTIONS: Final = ClientOptions()
