"""HTTP by httpx, blocking and asynchronous, with a pool of connections."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO, Final

import httpx
from pydantic import SecretStr

from bentos.client.address import Address
from bentos.client.exchange import Attempt, Failure, Reply
from bentos.client.headers import DEADLINE
from bentos.client.http.wire import failure_of
from bentos.client.options import ClientOptions
from bentos.core.errors import ConfigError, Unavailable
from bentos.core.files import atomic_file

__all__ = ["AsyncHttpTransport", "HttpTransport"]

#: Less than the 5 seconds after which many servers close an idle connection, which a call might just have taken.
_IDLE_SECONDS: Final = 4.0
_BLOCK: Final = 256 * 1024


class HttpTransport:
    """Blocking."""

    def __init__(self, address: Address, key: SecretStr | None, options: ClientOptions) -> None:
        self._address = address.text
        self._connect_seconds = options.connect_timeout_seconds
        self._client = httpx.Client(**_settings(address, key, options))

    def send(self, attempt: Attempt) -> Reply:
        until = monotonic() + attempt.timeout_seconds
        try:
            with (
                self._client.stream(**_request(attempt, until, self._connect_seconds, BlockingFile)) as response,
                _kept(attempt, response) as body,
            ):
                for part in response.iter_bytes():
                    body.write(part)
                    # Each part of a body that drips may come in time and the whole never.
                    if monotonic() > until:
                        raise httpx.ReadTimeout("the answer was not complete in time")
        except httpx.RequestError as error:
            return _lost(self._address, error)
        return _reply(response, body)

    def close(self) -> None:
        self._client.close()


class AsyncHttpTransport:
    """For asyncio."""

    def __init__(self, address: Address, key: SecretStr | None, options: ClientOptions) -> None:
        self._address = address.text
        self._connect_seconds = options.connect_timeout_seconds
        self._client = httpx.AsyncClient(**_settings(address, key, options))

    async def send(self, attempt: Attempt) -> Reply:
        until = monotonic() + attempt.timeout_seconds
        try:
            async with (
                asyncio.timeout(attempt.timeout_seconds),
                self._client.stream(**_request(attempt, until, self._connect_seconds, AsyncFile)) as response,
            ):
                with _kept(attempt, response) as body:
                    async for part in response.aiter_bytes():
                        body.write(part)
        except (httpx.RequestError, TimeoutError) as error:
            return _lost(self._address, error)
        return _reply(response, body)

    async def close(self) -> None:
        await self._client.aclose()


class BlockingFile:
    """A file's octets, read as they are sent, from its start each time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                yield block


class AsyncFile:
    """The same for asyncio; reading from this machine's cache takes less time than a thread."""

    def __init__(self, path: Path) -> None:
        self._blocks = BlockingFile(path)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for block in self._blocks:
            yield block


class _TimeLeft(dict[str, float]):
    """Timeouts of one request, of which each part may take what the parts before it have left of the deadline."""

    def __init__(self, until: float, connect_seconds: float) -> None:
        super().__init__()
        self._until = until
        self._connect_seconds = connect_seconds

    def get(self, name: str, _default: object = None, /) -> Any:
        left = max(0.001, self._until - monotonic())
        return min(left, self._connect_seconds) if name == "connect" else left


def _settings(address: Address, key: SecretStr | None, options: ClientOptions) -> dict[str, Any]:
    limits = httpx.Limits(
        max_connections=options.maximum_connections,
        max_keepalive_connections=options.maximum_connections,
        keepalive_expiry=_IDLE_SECONDS,
    )
    return {
        "base_url": address.text,
        "headers": {"authorization": f"Bearer {key.get_secret_value()}"} if key else {},
        "limits": limits,
        "verify": _trusted(options),
        # A service inside the cluster is not behind the environment's proxy, and no .netrc knows its key.
        "trust_env": False,
    }


def _trusted(options: ClientOptions) -> ssl.SSLContext | bool:
    if options.ca_file is None and options.certificate_file is None:
        return True
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except OSError as error:
        raise ConfigError(f"ca_file cannot be read: {error}") from error
    if options.certificate_file is not None:
        try:
            context.load_cert_chain(options.certificate_file, options.key_file)
        except OSError as error:
            raise ConfigError(f"certificate_file and key_file cannot be used: {error}") from error
    return context


def _request(attempt: Attempt, until: float, connect_seconds: float, file: Callable[[Path], object]) -> dict[str, Any]:
    headers: Mapping[str, str] = {**attempt.headers, DEADLINE: str(max(1, int(attempt.timeout_seconds * 1000)))}
    content: object = attempt.payload
    if attempt.payload is not None:
        headers = {**headers, "content-type": attempt.content_type}
    if isinstance(attempt.payload, Path):
        content = file(attempt.payload)
        headers = {**headers, "content-length": str(attempt.payload.stat().st_size)}
    return {
        "method": "GET" if attempt.payload is None else "POST",
        "url": attempt.target,
        "content": content,
        "headers": headers,
        "extensions": {"timeout": _TimeLeft(until, connect_seconds)},
    }


@contextlib.contextmanager
def _kept(attempt: Attempt, response: httpx.Response) -> Iterator[BinaryIO]:
    """Where the answer's body goes: the file that it is meant for, if it went well, else memory."""
    if attempt.save_to is None or not response.is_success:
        yield BytesIO()
        return
    # A body that breaks off leaves no file.
    with atomic_file(attempt.save_to) as file:
        yield file


def _reply(response: httpx.Response, body: BinaryIO) -> Reply:
    content = body.getvalue() if isinstance(body, BytesIO) else b""
    return content if response.is_success else failure_of(response.status_code, response.headers, content)


def _lost(address: str, error: httpx.RequestError | TimeoutError) -> Failure:
    # A connection that did not come about leaves time for another; other times out are the end of the call's.
    late = isinstance(error, TimeoutError | httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout)
    if late:
        detail = f"{address} gave no answer in time"
    else:
        detail = f"{address} cannot be reached: {error or type(error).__name__}"
    return Failure(Unavailable(detail), retryable=not late, cause=error)
