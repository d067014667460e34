"""The Python client of the scoring service, blocking and asynchronous, over HTTP or gRPC.

Errors are those of :mod:`bentos.core.errors`, answers those of :mod:`bentos.core.answers`.
"""

from __future__ import annotations

from bentos.client.asynchronous import AsyncFraudClient
from bentos.client.blocking import FraudClient
from bentos.client.options import ClientOptions

__all__ = ["AsyncFraudClient", "ClientOptions", "FraudClient"]
