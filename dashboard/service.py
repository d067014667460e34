"""The scoring service as the pages ask it: the product's client, and what only dashboards read.

The only module that speaks HTTP to the service.
"""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from bentos.client import ClientOptions, FraudClient
from bentos.client.http.wire import failure_of
from bentos.core.drift import DriftState
from bentos.core.errors import FraudError, Unavailable
from bentos.core.records import Claim, History, Predictions
from dashboard.settings import DashboardSettings

__all__ = ["Service"]

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class Service:
    """One service. Sessions share it; connections stay open.

    Every call raises the errors of :mod:`bentos.core.errors`, within the timeout of the settings.

    Parameters
    ----------
    settings
        Address, key and timeouts.
    """

    def __init__(self, settings: DashboardSettings) -> None:
        key = settings.dashboard_service_key
        timeout = settings.dashboard_timeout_seconds
        options = ClientOptions(
            timeout_seconds=timeout,
            many_timeout_seconds=max(timeout, settings.dashboard_upload_timeout_seconds),
            connect_timeout_seconds=min(1.0, timeout),
            retries=1,
        )
        self.url = settings.dashboard_service_url.rstrip("/")
        #: Calls that every client of the service may make.
        self.client = FraudClient(self.url, api_key=key, options=options)
        # As the client does it: no proxy of the environment sees what is asked.
        self._http = httpx.Client(
            base_url=self.url,
            timeout=httpx.Timeout(timeout, connect=min(1.0, timeout)),
            headers={"x-api-key": key.get_secret_value()} if key is not None else {},
            trust_env=False,
        )

    def predictions(self, **filters: str | int | float) -> Predictions:
        """Kept predictions, the newest first; see ``GET /predictions`` for the filters."""
        return self._read(Predictions, "/predictions", filters)

    def history(self, customer_id: str, limit: int = 50) -> History:
        """A customer's predicted transactions, the newest first."""
        return self._read(History, f"/customers/{quote(customer_id, safe='')}/history", {"limit": limit})

    def claim(self, transaction_id: str, analyst: str) -> Claim:
        """Take a transaction for an analyst. Raises Conflict when another has it."""
        path = f"/review/{quote(transaction_id, safe='')}/claim"
        return _parsed(Claim, self._send("POST", path, json={"analyst": analyst}))

    def drift(self) -> DriftState:
        """How far payments are from training."""
        return self._read(DriftState, "/drift", {})

    def metrics(self) -> str:
        """The service's metrics in Prometheus' text format."""
        return self._send("GET", "/metrics").decode()

    def close(self) -> None:
        """Give the connections back."""
        self.client.close()
        self._http.close()

    def _read(self, kind: type[AnswerT], path: str, parameters: dict[str, Any]) -> AnswerT:
        return _parsed(kind, self._send("GET", path, params=parameters))

    def _send(self, method: str, path: str, **arguments: Any) -> bytes:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TimeoutException as error:
            raise Unavailable(f"{self.url} has not answered {path} in time") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"{self.url} cannot be reached: {error}") from error
        if not response.is_success:
            raise failure_of(response.status_code, response.headers, response.content).error
        return response.content


def _parsed(kind: type[AnswerT], body: bytes) -> AnswerT:
    try:
        # Members that a newer service adds are ignored.
        return kind.model_validate_json(body, extra="ignore")
    except ValidationError as error:
        raise FraudError(f"what the service answered is no {kind.__name__}: is it the right address?") from error
