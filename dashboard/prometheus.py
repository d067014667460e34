"""Ranges from Prometheus. Knows nothing of Streamlit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

import httpx

from bentos.core.errors import Unavailable

__all__ = ["Prometheus", "Series"]

_POINTS: Final = 240
_SHORTEST_STEP_SECONDS: Final = 5


@dataclass(frozen=True)
class Series:
    """One series: its labels, and finite values by seconds since 1970."""

    labels: Mapping[str, str]
    points: Mapping[float, float]


class Prometheus:
    """One server, asked about the last minutes.

    Parameters
    ----------
    url
        Its address.
    timeout_seconds
        Of one answer.
    minutes
        How far back.
    now
        Where the range ends; None is the present.
    """

    def __init__(self, url: str, timeout_seconds: float, minutes: int, now: datetime | None = None) -> None:
        self._url = url
        # No proxy of the environment sees what is asked.
        self._http = httpx.Client(base_url=url, timeout=timeout_seconds, trust_env=False)
        end = now or datetime.now(UTC)
        self._range = {
            "start": str((end - timedelta(minutes=minutes)).timestamp()),
            "end": str(end.timestamp()),
            "step": str(max(_SHORTEST_STEP_SECONDS, minutes * 60 // _POINTS)),
        }

    def series(self, query: str) -> list[Series]:
        """What a query gives.

        Raises
        ------
        Unavailable
            When Prometheus does not answer, or not as it should.
        """
        try:
            response = self._http.get("/api/v1/query_range", params={**self._range, "query": query})
            response.raise_for_status()
            return [
                Series(
                    dict(found["metric"]),
                    {float(time): float(value) for time, value in found["values"] if math.isfinite(float(value))},
                )
                for found in response.json()["data"]["result"]
            ]
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            raise Unavailable(
                f"Prometheus at {self._url} does not answer as it should; correct FRAUD_DASHBOARD_PROMETHEUS_URL, or"
                " unset it to read the service's own metrics"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()
