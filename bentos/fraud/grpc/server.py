"""The gRPC server of a worker."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from functools import partial
from time import monotonic
from typing import Final

from google.protobuf import descriptor_pool

from bentos.fraud.access.tls import Tls
from bentos.fraud.application import Application
from bentos.fraud.grpc import fraud_service, health, inference, reflection, shadow
from bentos.fraud.grpc.calls import Call
from bentos.fraud.grpc.feedback import FeedbackService
from bentos.fraud.grpc.fraud_service import FraudService
from bentos.fraud.grpc.heads import Head, read_head
from bentos.fraud.grpc.health import HealthService
from bentos.fraud.grpc.http2.connection import Connection
from bentos.fraud.grpc.http2.hpack import Headers
from bentos.fraud.grpc.http2.stream import Acceptor
from bentos.fraud.grpc.inference import InferenceService
from bentos.fraud.grpc.ledger import Ledger
from bentos.fraud.grpc.methods import Methods
from bentos.fraud.grpc.ports import listen
from bentos.fraud.grpc.reflection import ReflectionService
from bentos.fraud.grpc.shadow import ShadowService
from bentos.fraud.inference.dataplane import DataPlane
from bentos.fraud.room import UNFINISHED_CALLS
from bentos.fraud.settings import LOCAL_HOST, ScoringSettings

__all__ = ["GrpcServer", "start_grpc"]

#: Seconds between two looks for connections and requests that take too long.
_SWEEP_SECONDS: Final = 5.0
#: Seconds for the peer's part of TLS's handshake.
_HANDSHAKE_SECONDS: Final = 10.0
#: Seconds after which the kernel asks whether an idle peer still lives, between its questions, and how many it asks.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}


class GrpcServer(Acceptor[Head]):
    """Serves methods to connections, in the event loop that made it.

    Parameters
    ----------
    methods
        What can be called.
    health_service
        What is told to stop first.
    ledger
        What calls share.
    tls
        None serves without.
    """

    def __init__(self, methods: Methods, health_service: HealthService, ledger: Ledger, tls: Tls | None = None) -> None:
        self._methods = methods
        self._health = health_service
        self._ledger = ledger
        self._tls = tls
        self._connections: set[Connection[Head]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._listener: asyncio.Server
        self._sweeper: asyncio.Task[None]
        self.port = 0

    async def start(self, listening: socket.socket) -> None:
        """Serve what connects to a socket."""
        self.port = listening.getsockname()[1]
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        loop = asyncio.get_running_loop()
        tls = self._tls
        self._listener = await loop.create_server(
            partial(Connection, self),
            sock=listening,
            ssl=None if tls is None else tls.context,
            ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
        )
        self._sweeper = loop.create_task(self._sweep())

    async def stop(self, grace_seconds: float) -> None:
        """Take no more calls, finish those that run, and close what is left after a while.

        Parameters
        ----------
        grace_seconds
            How long running calls may take.
        """
        self._health.stop()
        self._listener.close()
        for connection in list(self._connections):
            connection.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._idle.wait()
        for connection in list(self._connections):
            connection.abort()
        self._sweeper.cancel()
        await asyncio.gather(self._sweeper, return_exceptions=True)

    def read_head(self, headers: Headers | None) -> Head | None:
        """What the headers of a call say."""
        return read_head(headers, self._methods)

    def open(self, connection: Connection[Head], number: int, head: Head) -> Call:
        """A new call."""
        return Call(connection, number, head, self._ledger)

    def connected(self, connection: Connection[Head]) -> None:
        """A new connection."""
        self._connections.add(connection)
        self._idle.clear()

    def disconnected(self, connection: Connection[Head]) -> None:
        """One that is gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._idle.set()

    def sweep(self, now: float) -> None:
        """End connections and requests that take too long. ``now`` is ``time.monotonic()``."""
        for connection in list(self._connections):
            connection.sweep(now)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self.sweep(monotonic())
            if self._tls is not None:
                self._tls.refresh()


async def start_grpc(application: Application, settings: ScoringSettings) -> GrpcServer:
    """Serve gRPC in the running event loop.

    Parameters
    ----------
    application
        The worker's parts.
    settings
        Where to listen, and sizes.

    Raises
    ------
    Unavailable, ConfigError
        The port cannot be taken.
    """
    predictor = application.predictor
    services = [fraud_service.SERVICE, shadow.SERVICE, inference.SERVICE, health.SERVICE, reflection.SERVICE]
    health_service = HealthService(services)
    methods = {
        **FraudService(predictor, application.observer).methods(settings),
        **FeedbackService(application.records).methods(),
        **InferenceService(DataPlane(predictor)).methods(settings),
        **ShadowService(predictor).methods(settings),
        **health_service.methods(),
        **ReflectionService(services, descriptor_pool.Default()).methods(),
    }
    ledger = Ledger(application.observer, UNFINISHED_CALLS * settings.many_body_limit_bytes, application.guard)
    server = GrpcServer(methods, health_service, ledger, application.tls)
    await server.start(listen(settings.grpc_host or LOCAL_HOST, settings.grpc_port))
    return server
