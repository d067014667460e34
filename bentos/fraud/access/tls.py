"""TLS of gRPC: the certificate, its key, and the authority that signs clients' certificates."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Final

from bentos.core.errors import ConfigError
from bentos.fraud.access.keyring import signature
from bentos.fraud.access.settings import AccessSettings

__all__ = ["Tls", "open_tls"]

_LOGGER = logging.getLogger(__name__)
_KEPT: Final = "the new certificate or key cannot be used, the log says why; the old ones serve"


class Tls:
    """A server's side of TLS, which follows its files.

    Parameters
    ----------
    certificate, key
        PEM files.
    client_ca
        PEM file; None asks clients for no certificate.

    Raises
    ------
    ConfigError
        When a file cannot be used.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        self._files: Final = (certificate, key)
        self._client_ca: Final = client_ca
        #: What is wrong with the files, if anything, in words that everybody may read.
        self.trouble: str | None = None
        self._seen = self._signatures()
        #: For connections that are made from now on; those that are there keep what they have.
        self.context = self._context()

    def refresh(self) -> None:
        """Take a new certificate and key if they have changed; when they cannot be used, the old ones stay."""
        now = self._signatures()
        if now == self._seen:
            return
        self._seen = now
        try:
            # A certificate and a key that do not belong together must not get into the context that serves.
            self._context()
            self.context.load_cert_chain(*self._files, password="")
        except (ConfigError, OSError) as error:
            self.trouble = _KEPT
            _LOGGER.error("gRPC's certificate stays as it was: %s", error)  # noqa: TRY400 - the message says it all
        else:
            self.trouble = None
            _LOGGER.info("gRPC's certificate was read again")

    def _signatures(self) -> tuple[object, ...]:
        return tuple(signature(file) for file in self._files)

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        certificate, key = self._files
        try:
            # Without a password, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"FRAUD_GRPC_TLS_CERTIFICATE {certificate} and FRAUD_GRPC_TLS_KEY {key} cannot be used:"
                f" {_reason(error)}"
            ) from error
        if self._client_ca is not None:
            try:
                context.load_verify_locations(self._client_ca)
            except OSError as error:
                raise ConfigError(
                    f"FRAUD_GRPC_TLS_CLIENT_CA {self._client_ca} cannot be used: {_reason(error)}"
                ) from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def open_tls(settings: AccessSettings) -> Tls | None:
    """The TLS that settings ask for; None when they ask for none.

    Raises
    ------
    ConfigError
        When they ask for half of it, or a file cannot be used.
    """
    certificate, key = settings.grpc_tls_certificate, settings.grpc_tls_key
    if certificate is None and key is None and settings.grpc_tls_client_ca is None:
        return None
    if certificate is None or key is None:
        raise ConfigError("FRAUD_GRPC_TLS_CERTIFICATE and FRAUD_GRPC_TLS_KEY come together, and before a client CA")
    return Tls(certificate, key, settings.grpc_tls_client_ca)


def _reason(error: OSError | ValueError) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__)
