"""Asks every request who it is from, before its body is read. Free of transport; the same for HTTP and gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from time import time
from typing import Any, Final

from bentos.core.answers import DependencyState
from bentos.core.errors import NotAllowed, Unauthenticated
from bentos.fraud.access.callers import Caller
from bentos.fraud.access.jwks import Jwks
from bentos.fraud.access.keyring import Keyring, expiry
from bentos.fraud.access.keys import KeyRecord
from bentos.fraud.access.limits import Bucket, Buckets, limits_file
from bentos.fraud.access.roles import UNKNOWN_CALL, Need, call_roles
from bentos.fraud.access.settings import AccessSettings
from bentos.fraud.access.tokens import Tokens, is_token

__all__ = ["Guard", "open_guard"]

_BEARER: Final = "bearer "
_LOGGER = logging.getLogger(__name__)


class Guard:
    """Who may call what. Belongs to one event loop.

    Parameters
    ----------
    settings
        Where keys are, and what is open.
    folder
        Where the workers of one server share their rate limits; None when there is only this one.

    Raises
    ------
    ConfigError
        When the keys cannot be read, or the settings contradict each other.
    """

    def __init__(self, settings: AccessSettings, folder: Path | None) -> None:
        self._settings = settings
        self._needs = call_roles(settings.metrics_role, settings.docs_role)
        self._buckets = Buckets(None if folder is None else limits_file(folder))
        file = settings.api_keys_file
        self._keyring = None if file is None else Keyring(file, self._caller_of_key)
        self._jwks = None if settings.jwt_jwks_url is None else Jwks(settings)
        self._tokens = None if self._jwks is None else Tokens(settings, self._jwks, self._caller_of_token)
        self._tasks: list[asyncio.Task[None]] = []

    def need(self, call: str) -> Need:
        """What a call asks for, by the name that it has in metrics."""
        return self._needs.get(call, UNKNOWN_CALL)

    def admit(self, headers: Mapping[str, str], need: Need) -> Caller | None:
        """Let a request in, and count it against its caller's limit.

        Parameters
        ----------
        headers
            Of the request, or its metadata, by lower-case names.
        need
            What the call asks for.

        Returns
        -------
        Caller or None
            None when the call is open to everybody.

        Raises
        ------
        Unauthenticated, NotAllowed, Overloaded, Unavailable
            When it is not let in.
        """
        if need == "none":
            return None
        caller = self._caller(headers)
        if need not in caller.roles and need != "any":
            has = ", ".join(sorted(caller.roles)) or "none"
            raise NotAllowed(f"this call needs the role {need}; {caller.name!r} has {has}")
        if caller.bucket is not None:
            caller.bucket.take()
        return caller

    async def start(self) -> None:
        """Read what has to be read over the network, and look for changes from now on."""
        loop = asyncio.get_running_loop()
        if self._keyring is not None:
            self._tasks.append(loop.create_task(self._watch(self._keyring)))
        if self._jwks is not None:
            await self._jwks.refresh()
            self._tasks.append(loop.create_task(self._jwks.keep_fresh()))

    async def close(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._buckets.close()

    def states(self) -> dict[str, DependencyState]:
        """State of what it needs, for health."""
        sources = {"api_keys": self._keyring, "jwks": self._jwks}
        return {name: _state(source.trouble) for name, source in sources.items() if source is not None}

    def _caller(self, headers: Mapping[str, str]) -> Caller:
        credential = _credential(headers)
        if credential is None:
            raise Unauthenticated("no key was sent; send it as authorization: Bearer KEY, or as x-api-key")
        if self._tokens is not None and is_token(credential):
            caller: Caller | None = self._tokens.find(credential)
        else:
            caller = None if self._keyring is None else self._keyring.find(credential)
        if caller is None:
            raise Unauthenticated("the key is not known")
        if caller.expires <= time():
            raise Unauthenticated(f"the key or token of {caller.name!r} has expired")
        return caller

    async def _watch(self, keyring: Keyring) -> None:
        while True:
            await asyncio.sleep(self._settings.api_keys_check_seconds)
            try:
                # A file system may keep one waiting.
                await asyncio.to_thread(keyring.refresh)
            except Exception:
                _LOGGER.exception("the API keys could not be looked after; they stay as they were")

    def _caller_of_key(self, record: KeyRecord) -> Caller:
        rate = record.rows_per_second or self._settings.rate_limit_rows_per_second
        bucket = self._bucket(f"key {record.name}", rate, record.burst_rows)
        return Caller(record.name, frozenset(record.roles), expiry(record), bucket)

    def _caller_of_token(self, name: str, roles: frozenset[str], expires: float) -> Caller:
        bucket = self._bucket(f"token {name}", self._settings.rate_limit_rows_per_second, None)
        return Caller(name, roles, expires, bucket)

    def _bucket(self, name: str, rate: float | None, burst: float | None) -> Bucket | None:
        if rate is None:
            return None
        return self._buckets.bucket(name, rate, burst or self._settings.rate_limit_burst_rows or max(1.0, rate))


def open_guard(settings: AccessSettings, folder: Path | None = None) -> Guard | None:
    """The guard that settings ask for; None when everybody may do everything. See :class:`Guard`."""
    return Guard(settings, folder) if settings.authenticates else None


def _credential(headers: Mapping[str, str]) -> str | None:
    # A gateway may use authorization for itself; who sends x-api-key as well means that.
    key = headers.get("x-api-key")
    if key is not None:
        return key
    authorization: Any = headers.get("authorization")
    if authorization is None or authorization[: len(_BEARER)].lower() != _BEARER:
        return None
    return str(authorization[len(_BEARER) :]).strip()


def _state(trouble: str | None) -> DependencyState:
    return DependencyState(status="failing", detail=trouble) if trouble else DependencyState(status="ok")
