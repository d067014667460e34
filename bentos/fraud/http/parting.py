"""How connections of HTTP end: by word from the server, not under a request that is on its way.

uvicorn closes a connection that has been idle for 5 s, and all idle ones when the server stops. Whoever sends a request
at that moment loses it; a gateway cannot know whether it was worked on, so it does not send a POST again. Therefore a
connection stays open for longer than gateways keep theirs, and a server that stops says ``connection: close`` with one
more answer before it leaves.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.server import ServerState

from bentos.fraud.http.protocol import BoundedProtocol

__all__ = ["KEEP_ALIVE_SECONDS", "PARTING_SECONDS", "PartingProtocol"]

#: Go's clients and Traefik close what is idle after 90 s, nginx and AWS' balancers after 60 s.
KEEP_ALIVE_SECONDS: Final = 120
#: How long a server that stops waits for one more request of a connection.
PARTING_SECONDS: Final = 1.0


class PartingProtocol(BoundedProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.timeout_keep_alive = max(self.timeout_keep_alive, KEEP_ALIVE_SECONDS)
        #: Whether the next answer is the last.
        self.parting = False

    def shutdown(self) -> None:
        """End with the next answer, or soon without one."""
        self.parting = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(PARTING_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def on_headers_complete(self) -> None:
        """Take the request; it may be the last."""
        super().on_headers_complete()
        if self.parting and self.cycle is not None:
            self.cycle.keep_alive = False
