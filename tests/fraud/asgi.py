"""Requests to an ASGI application in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.types import ASGIApp


class AppClient:
    """Sends requests to an application.

    Parameters
    ----------
    app
        The application.
    runner
        Event loop; of the application's lifespan, if it has one.
    """

    def __init__(self, app: ASGIApp, runner: asyncio.Runner) -> None:
        self._app = app
        self._runner = runner

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The whole response to one request."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **options)

        return self._runner.run(send())

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", path, **options)


@contextlib.contextmanager
def started(app: Starlette, runner: asyncio.Runner) -> Iterator[None]:
    """Run an application's start and end around a block."""
    lifespan = app.router.lifespan_context(app)
    runner.run(lifespan.__aenter__())
    try:
        yield
    finally:
        runner.run(lifespan.__aexit__(None, None, None))
