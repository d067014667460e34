"""The public keys of an issuer of tokens (RFC 7517), kept fresh beside the requests.

Whoever names a key that is not known can make them be read again, but not more often than once in
``jwt_minimum_refresh_seconds``: a flood of made-up tokens does not reach the issuer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.error import URLError
from urllib.parse import urlsplit

from bentos.core.errors import ConfigError
from bentos.fraud.access.settings import AccessSettings

if TYPE_CHECKING:
    from jwt import PyJWK

__all__ = ["Jwks"]

_TIMEOUT_SECONDS: Final = 5.0
_MAXIMUM_BYTES: Final = 1024 * 1024
#: Asymmetric ones. With a shared secret whoever checks tokens could make them, and "none" is no signature.
_ALGORITHMS: Final = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
)
_LOGGER = logging.getLogger(__name__)


class _Unreadable(Exception):
    """The keys cannot be read now."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Whoever is trusted by his name is not left for another."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Jwks:
    """The keys of one issuer.

    Parameters
    ----------
    settings
        Where they are, and how often they are read.

    Raises
    ------
    ConfigError
        When the address can never work. One that does not answer is asked again and again.
    """

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self._source = _source(settings.jwt_jwks_url or "")
        self._opener = _opener(settings.jwt_ca_file) if isinstance(self._source, str) else None
        #: By their ids.
        self.keys: Mapping[str, PyJWK] = {}
        #: Grows when the keys change.
        self.version = 0
        self._content: bytes | None = None
        self._read_at: float | None = None
        self._trouble: str | None = None
        self._wanted = asyncio.Event()

    @property
    def trouble(self) -> str | None:
        """What is wrong, if anything."""
        return self._trouble

    @property
    def fresh(self) -> bool:
        """Whether the keys may be trusted: they were read, and not too long ago."""
        return self._read_at is not None and monotonic() - self._read_at <= self._settings.jwt_stale_seconds

    def want(self) -> None:
        """A token names a key that is not known: read again, as soon as that is allowed."""
        self._wanted.set()

    async def refresh(self) -> None:
        """Read the keys, in another thread; when that fails, those that were read last stay."""
        self._wanted.clear()
        try:
            content = await asyncio.to_thread(self._fetch)
            if content != self._content:
                self.keys = _keys(content)
                self._content = content
                self.version += 1
        except _Unreadable as error:
            if self._trouble is None:
                _LOGGER.error("the keys of tokens cannot be read: %s", error)  # noqa: TRY400 - the message says it all
            self._trouble = str(error)
        else:
            if self._trouble is not None:
                _LOGGER.info("the keys of tokens can be read again")
            self._read_at, self._trouble = monotonic(), None

    async def keep_fresh(self) -> None:
        """Read the keys for ever; begins with a pause."""
        least = self._settings.jwt_minimum_refresh_seconds
        while True:
            await asyncio.sleep(least)
            rest = 0.0 if self._trouble else max(0.0, self._settings.jwt_refresh_seconds - least)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._wanted.wait()
            await self.refresh()

    def _fetch(self) -> bytes:
        try:
            if isinstance(self._source, Path):
                with self._source.open("rb") as stream:
                    content = stream.read(_MAXIMUM_BYTES + 1)
            else:
                assert self._opener is not None  # noqa: S101 - made for addresses
                with self._opener.open(self._source, timeout=_TIMEOUT_SECONDS) as response:
                    content = response.read(_MAXIMUM_BYTES + 1)
        except (OSError, ValueError) as error:
            # Addresses may hold secrets of their own: the message names none.
            reason = error.reason if isinstance(error, URLError) else error
            text = getattr(reason, "strerror", None) or type(reason).__name__
            code = getattr(error, "code", None)
            raise _Unreadable(f"HTTP status {code}" if code else str(text)) from None
        if len(content) > _MAXIMUM_BYTES:
            raise _Unreadable(f"longer than {_MAXIMUM_BYTES} bytes")
        return content


def _keys(content: bytes) -> dict[str, PyJWK]:
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    try:
        listed = json.loads(content)["keys"]
        candidates = [item for item in listed if isinstance(item, dict)]
    except (ValueError, KeyError, TypeError):
        raise _Unreadable("no JSON web key set") from None
    found = {}
    for item in candidates:
        if item.get("use", "sig") != "sig":
            continue
        # A key of a kind that is not known is another's; the set has others.
        with contextlib.suppress(PyJWTError, ValueError, TypeError):
            key = PyJWK.from_dict(item)
            if key.algorithm_name in _ALGORITHMS:
                found[str(item.get("kid", ""))] = key
    if not found:
        raise _Unreadable("a JSON web key set without a public key for signatures")
    return found


def _source(given: str) -> str | Path:
    if given.startswith("/"):
        return Path(given)
    try:
        parts = urlsplit(given)
        parts.port  # noqa: B018 - checks it
    except ValueError:
        raise ConfigError("FRAUD_JWT_JWKS_URL cannot be read; it must be https:// or a file's absolute path") from None
    if parts.scheme == "file" and not parts.netloc:
        return Path(parts.path)
    if parts.scheme != "https" or not parts.hostname:
        raise ConfigError(
            "FRAUD_JWT_JWKS_URL must be https:// or a file's absolute path: who changes keys can be anybody"
        )
    if "@" in parts.netloc:
        raise ConfigError("FRAUD_JWT_JWKS_URL holds a user or password, which a JWKS does not need")
    return given


def _opener(ca_file: Path | None) -> urllib.request.OpenerDirector:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"FRAUD_JWT_CA_FILE {ca_file} cannot be read: {error.strerror}") from error
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirects())
