"""Refuses to serve everybody by accident."""

from __future__ import annotations

import logging
from ipaddress import ip_address
from typing import Final

from bentos.core.errors import ConfigError
from bentos.fraud.access.settings import AccessSettings

__all__ = ["check_exposure", "is_local"]

_LOCAL_NAMES: Final = ("localhost", "ip6-localhost")
_LOGGER = logging.getLogger(__name__)


def is_local(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() in _LOCAL_NAMES


def check_exposure(settings: AccessSettings, **hosts: str) -> None:
    """Refuse to be reached from other machines without knowing who calls.

    Parameters
    ----------
    settings
        Whether callers must say who they are, or need not.
    hosts
        Addresses to be served on, by the names of transports.

    Raises
    ------
    ConfigError
        With what to do.
    """
    public = {name: host for name, host in hosts.items() if not is_local(host)}
    if settings.authenticates or not public:
        return
    where = " and ".join(f"{name} on {host}" for name, host in public.items())
    if not settings.allow_unauthenticated:
        raise ConfigError(
            f"{where} would be open to everybody who reaches this machine. Serve this machine alone with --host"
            " 127.0.0.1; or make a key (`python -m bentos.fraud keys create --name NAME --role score --file FILE`) and"
            " set FRAUD_API_KEYS_FILE=FILE, or set FRAUD_JWT_JWKS_URL; or, where something else guards the network, set"
            " FRAUD_ALLOW_UNAUTHENTICATED=true"
        )
    _LOGGER.warning("%s is open to everybody who reaches this machine: FRAUD_ALLOW_UNAUTHENTICATED is set", where)
