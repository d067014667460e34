"""The way to a Redis: its connections, how long they wait, and what is told when it fails."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from redis import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from bentos.core.errors import ConfigError, Unavailable
from bentos.fraud.store.breaker import Breaker

__all__ = ["DEFAULT_URL", "RedisLink", "RedisPlace", "Script"]

DEFAULT_URL: Final = "redis://127.0.0.1:6379/0"
_LOGGER = logging.getLogger(__name__)
_T = TypeVar("_T")
#: What is not on the way to an answer may take longer.
_PATIENCE_SECONDS: Final = 5.0
_FAILURES: Final = (RedisError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where the states are, and how long to wait for them.

    Parameters
    ----------
    url
        Of the server; secret, because it may hold a password.
    prefix
        Of every key.
    timeout_seconds
        Of a lookup.
    failures
        Within ten seconds, after which the server is left alone for a while.
    """

    url: str = DEFAULT_URL
    prefix: str = "{fraud}:"
    timeout_seconds: float = 0.05
    failures: int = 5

    def __repr__(self) -> str:
        return f"RedisPlace(prefix={self.prefix!r})"


class Script:
    """A script and the name by which Redis knows it once it has run.

    Parameters
    ----------
    text
        In Lua.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class _Lines:
    """Connections of one event loop. The library's client on top of them takes twice the time of a call.

    Whoever asks sees to it that it does not take for ever: a call that is cancelled leaves its connection closed.
    """

    def __init__(self, url: str) -> None:
        retry = AsyncRetry(NoBackoff(), 0)
        self._pool = ConnectionPool.from_url(
            url, socket_timeout=None, socket_connect_timeout=None, retry=retry, protocol=2
        )
        self._idle: list[AbstractConnection] = []

    async def ask(self, *command: Any) -> Any:
        """What a command answers. Repeated once, if the server closed the connection since it was used last."""
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._asked(connection, command)
            except RedisConnectionError:
                # The others are as old.
                await self.close()
        fresh: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call] # the library's
        return await self._asked(fresh, command)

    async def _asked(self, connection: AbstractConnection, command: Sequence[Any]) -> Any:
        try:
            await connection.send_packed_command(connection.pack_command(*command))
            answer = await connection.read_response()
        except NoScriptError:
            self._idle.append(connection)
            raise
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._idle.append(connection)
        return answer

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)


class RedisLink:
    """Connections to one Redis. Safe for use by several threads and event loops.

    Parameters
    ----------
    place
        Of the server; it is not asked before it is used.

    Raises
    ------
    ConfigError
        When the URL cannot be understood.
    """

    def __init__(self, place: RedisPlace) -> None:
        self._place = place
        self._breaker = Breaker(place.failures)
        self._closed = False
        self._lost = False
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lines] = WeakKeyDictionary()
        patience = max(_PATIENCE_SECONDS, place.timeout_seconds)
        try:
            self.client = Redis.from_url(place.url, **_options(patience))
        except ValueError as error:
            raise ConfigError("FRAUD_REDIS_URL is no URL of a Redis; allowed: redis://, rediss://, unix://") from error

    @property
    def trouble(self) -> str | None:
        """How the last calls went: what is wrong, None when nothing is."""
        return "the feature store in Redis is closed" if self._closed else self._breaker.trouble

    async def ask(self, script: Script, count: int, *arguments: Any) -> bytes | None:
        """Run a script within the time of a lookup; None when it fails, or when nobody is to be asked for a while.

        Parameters
        ----------
        script
            To run.
        count
            How many of the arguments, the first, are keys.
        *arguments
            Its keys, then the rest.
        """
        if self._closed or not self._breaker.allows():
            return None
        try:
            async with asyncio.timeout(self._place.timeout_seconds):
                lines = self._here()
                try:
                    answer = await lines.ask("EVALSHA", script.digest, count, *arguments)
                except NoScriptError:
                    answer = await lines.ask("EVAL", script.text, count, *arguments)
        except _FAILURES as error:
            self._failed(error)
            return None
        self._breaker.worked()
        return answer  # type: ignore[no-any-return] # the library has no types for answers

    def do(self, what: Callable[[], _T]) -> _T:
        """Do something with the client, in the calling thread.

        Raises
        ------
        Unavailable
            When it fails.
        """
        if self._closed:
            raise Unavailable("the feature store in Redis is closed")
        began = time.monotonic()
        try:
            result = what()
        except _FAILURES as error:
            self._failed(error)
            raise Unavailable(_reason(error)) from error
        if self._lost and time.monotonic() - began <= self._place.timeout_seconds:
            # It is there again, and in time. Whether it takes what a lookup writes, only a lookup can tell.
            self._breaker.worked()
        return result

    def run(self, script: Script, count: int, *arguments: Any) -> Any:
        """Run a script in the calling thread; as :meth:`ask`, but patiently.

        Raises
        ------
        Unavailable
            When it fails.
        """

        def once() -> Any:
            try:
                return self.client.evalsha(script.digest, count, *arguments)
            except NoScriptError:
                return self.client.eval(script.text, count, *arguments)

        return self.do(once)

    async def leave(self) -> None:
        """Give back the running event loop's connections."""
        lines = self._lines.pop(asyncio.get_running_loop(), None)
        if lines is not None:
            await lines.close()

    def close(self) -> None:
        """Give back the others; loops that asked have called :meth:`leave` before."""
        self._closed = True
        self.client.close()

    def _here(self) -> _Lines:
        loop = asyncio.get_running_loop()
        lines = self._lines.get(loop)
        if lines is None:
            lines = self._lines[loop] = _Lines(self._place.url)
        return lines

    def _failed(self, error: Exception) -> None:
        reason = _reason(error)
        self._lost = isinstance(error, (OSError, TimeoutError, RedisConnectionError, RedisTimeoutError))
        if self._breaker.failed(reason):
            _LOGGER.error("%s; features take their defaults until it works again", reason)


def _reason(error: Exception) -> str:
    # Never the library's text of a connection: it may name the URL.
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "the feature store in Redis did not answer in time"
    if str(error).startswith("OTHER"):
        return "the feature store in Redis was made anew with another FRAUD_PSEUDONYM_KEY or feature schema"
    return f"the feature store in Redis fails: {type(error).__name__}"


def _options(timeout_seconds: float) -> dict[str, Any]:
    # A repeat is the circuit's business, and the caller's time is short.
    return {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
