"""grpc.health.v1: whether this worker can answer, once or as it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from grpc_health.v1 import health_pb2

from bentos.core.errors import NotFound
from bentos.fraud.grpc.calls import Call
from bentos.fraud.grpc.convert import read_message
from bentos.fraud.grpc.methods import Methods, StreamingMethod, UnaryMethod

__all__ = ["SERVICE", "HealthService"]

SERVICE: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_LIMIT_BYTES: Final = 4096
_OVERALL: Final = ""
_Status = health_pb2.HealthCheckResponse.ServingStatus


class HealthService:
    """The calls of grpc.health.v1.

    Parameters
    ----------
    services
        Names of what is served; the empty name, for the whole server, is added.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = {_OVERALL, *services}
        self._stopping = asyncio.Event()

    def methods(self) -> Methods:
        """The service's methods."""
        return {
            f"/{SERVICE}/Check": UnaryMethod("health", self.check, _LIMIT_BYTES),
            f"/{SERVICE}/Watch": StreamingMethod("health", self.watch, _LIMIT_BYTES),
        }

    def stop(self) -> None:
        """Serve no more: say so to everybody who watches."""
        self._stopping.set()

    async def check(self, message: bytes, _: Call) -> bytes:
        """State of a service."""
        service = read_message(health_pb2.HealthCheckRequest, message).service
        if service not in self._services:
            raise NotFound("there is no service of that name")
        return self._state(service)

    async def watch(self, call: Call) -> None:
        """State of a service, and every change of it. One that is not known may come with another version."""
        async for message in call.messages():
            service = read_message(health_pb2.HealthCheckRequest, message).service
            await call.send(self._state(service))
            if not self._stopping.is_set():
                await self._stopping.wait()
                await call.send(self._state(service))
            return

    def _state(self, service: str) -> bytes:
        if service not in self._services:
            state = _Status.SERVICE_UNKNOWN
        else:
            state = _Status.NOT_SERVING if self._stopping.is_set() else _Status.SERVING
        answer: bytes = health_pb2.HealthCheckResponse(status=state).SerializeToString()
        return answer
