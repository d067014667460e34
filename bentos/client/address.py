"""The address of a service. Its scheme chooses the transport."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from bentos.core.errors import ConfigError

__all__ = ["Address", "parse_address", "parse_key"]

_TRANSPORTS: Final[dict[str, Literal["http", "grpc"]]] = {
    "http": "http",
    "https": "http",
    "grpc": "grpc",
    "grpcs": "grpc",
}
_VISIBLE: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service is.

    Parameters
    ----------
    text
        As given.
    transport
        How to talk to it.
    secure
        Whether over TLS.
    location
        Host and port.
    """

    text: str
    transport: Literal["http", "grpc"]
    secure: bool
    location: str


def parse_address(text: str) -> Address:
    """Read ``http://``, ``https://``, ``grpc://`` or ``grpcs://``, host and port.

    Only HTTP takes a path, which is put before those of the calls, and knows a port when none is given.

    Raises
    ------
    ConfigError
        When it is none of them, or holds a password, which would get into logs.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"the address {text!r} cannot be read: {error}") from error
    if "@" in parts.netloc:
        raise ConfigError("an address holds no user or password; give the key as api_key")
    transport = _TRANSPORTS.get(parts.scheme)
    if transport is None or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"the address is {text!r}; it must be http, https, grpc or grpcs://host:port")
    if transport == "grpc" and (port is None or parts.path not in ("", "/")):
        raise ConfigError(
            f"the address is {text!r}; over gRPC it is host and port alone, such as grpc://127.0.0.1:3001"
        )
    return Address(text, transport, parts.scheme in ("https", "grpcs"), parts.netloc)


def parse_key(key: SecretStr | str | None) -> SecretStr | None:
    """An API key that a header can carry.

    Raises
    ------
    ConfigError
        When it holds anything but visible ASCII characters. The message does not show it.
    """
    if key is None:
        return None
    secret = SecretStr(key) if isinstance(key, str) else key
    if not _VISIBLE.fullmatch(secret.get_secret_value()):
        raise ConfigError("the API key must be visible ASCII characters, without spaces or line breaks around it")
    return secret
