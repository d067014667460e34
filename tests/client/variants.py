"""The four clients behind one face, so that one suite runs over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from bentos.client import AsyncFraudClient, ClientOptions, FraudClient
from bentos.client.options import DEFAULT_OPTIONS

Transport = Literal["http", "grpc"]
VARIANTS: Final[tuple[tuple[Transport, bool], ...]] = (
    ("http", False),
    ("http", True),
    ("grpc", False),
    ("grpc", True),
)

#: Deadlines that no test is to meet, on a machine that is busy with others.
PATIENT: Final = ClientOptions(timeout_seconds=30, connect_timeout_seconds=10, backoff_seconds=0.001)


@dataclass(frozen=True)
class Service:
    """Addresses of a running service."""

    http: str
    grpc: str


@dataclass(frozen=True)
class JobsService:
    """A running service that does batch jobs, and a folder that their URIs may lead to."""

    http: str
    folder: Path


def variant_name(variant: tuple[Transport, bool]) -> str:
    """Such as grpc-asyncio."""
    return f"{variant[0]}-{'asyncio' if variant[1] else 'blocking'}"


class AnyClient:
    """A client whose calls block, whatever they do behind.

    Parameters
    ----------
    asynchronous
        Whether an AsyncFraudClient, in an event loop of its own, is behind.
    """

    def __init__(
        self, address: str, *, asynchronous: bool, api_key: str | None = None, options: ClientOptions = DEFAULT_OPTIONS
    ) -> None:
        self._runner = asyncio.Runner() if asynchronous else None
        kind: type[AsyncFraudClient | FraudClient] = AsyncFraudClient if asynchronous else FraudClient
        self.client = kind(address, api_key=api_key, options=options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self.client, name)

        def blocking(*arguments: Any, **options: Any) -> Any:
            if self._runner is None:
                return call(*arguments, **options)
            return self._runner.run(call(*arguments, **options))

        return blocking

    def predict_at_once(self, transactions: Sequence[Any]) -> list[Any]:
        """Predictions that threads, or tasks, ask the one client for at the same time."""
        client = self.client
        if isinstance(client, FraudClient):
            with ThreadPoolExecutor(8) as threads:
                return list(threads.map(client.predict, transactions))
        assert self._runner is not None

        async def gathered() -> list[Any]:
            return await asyncio.gather(*(client.predict(transaction) for transaction in transactions))

        return self._runner.run(gathered())

    def close(self) -> None:
        """Close the client, not its event loop."""
        if self._runner is None:
            self.client.close()  # type: ignore[union-attr]
        else:
            self._runner.run(self.client.aclose())  # type: ignore[union-attr]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if self._runner is not None:
            self._runner.close()
