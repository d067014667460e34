"""What is promised, and from where on somebody is told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bentos.core.errors import ConfigError

__all__ = ["FAST", "SLOW", "Burn", "Objectives"]

_UNITS: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_SPAN: Final = re.compile(r"([1-9][0-9]*)([dhms])")


@dataclass(frozen=True)
class Burn:
    """How fast a budget goes: seen over a long window, and still so over a short one.

    Parameters
    ----------
    long, short
        Windows, such as "1h".
    factor
        How often its rate the budget goes; at 1 it lasts for exactly the period that it is for, 30 days.
    """

    long: str
    short: str
    factor: float


#: 2 % of 30 days' budget within an hour, 5 % within six: somebody gets up. Table 5-8 of Google's Site Reliability
#: Workbook (sre.google/workbook/alerting-on-slos), as is the next.
FAST: Final = (Burn("1h", "5m", 14.4), Burn("6h", "30m", 6.0))
#: 10 % within one day or three: somebody looks in working hours.
SLOW: Final = (Burn("1d", "2h", 3.0), Burn("3d", "6h", 1.0))


@dataclass(frozen=True)
class Objectives:
    """Objectives and limits of all rules.

    Parameters
    ----------
    error_ratio
        Requests that may fail, of all; 0.001 promises 99.9 %.
    latency_seconds
        Within which predictions are answered; a bound of the buckets of fraud_prediction_latency_seconds.
    latency_ratio
        Predictions that may take longer; 0.01 makes ``latency_seconds`` the bound of p99.
    least_failures
        Failed or late answers in the long window of a burn below which nobody is told: at night, one is a lot.
    refused_ratio, degraded_ratio
        Share of requests that are refused, and of answers with defaults or by rules, from which on somebody is told.
    silence_predictions
        Predictions an hour from which on ten minutes without one are no chance: of 60, one in 22,000.
    feature_age_seconds
        Age of the newest recorded transaction beyond which features are stale, while predictions are made.
    waiting_bytes
        Predictions that wait to be recorded, over all servers.
    drift
        By how much a stability index over a day or a week has to pass its limit (fraud_feature_psi_limit).
    drift_of_hour
        The same over an hour.
    quality_ratio
        Precision or recall as a part of its own mean of the week before, below which somebody is told.
    time_scale
        Multiplies every window; tests on a real Prometheus cannot wait for three days.
    """

    error_ratio: float = 0.001
    latency_seconds: float = 0.05
    latency_ratio: float = 0.01
    least_failures: int = 10
    refused_ratio: float = 0.01
    degraded_ratio: float = 0.01
    silence_predictions: int = 60
    feature_age_seconds: float = 900.0
    waiting_bytes: int = 64 << 20
    drift: float = 1.0
    drift_of_hour: float = 10.0
    quality_ratio: float = 0.8
    time_scale: float = 1.0

    def span(self, nominal: str) -> str:
        """A window of so long, in Prometheus' words.

        Raises
        ------
        ConfigError
            When it is no whole number of days, hours, minutes or seconds.
        """
        found = _SPAN.fullmatch(nominal)
        if found is None:
            raise ConfigError(f"a window is a whole number and one of d, h, m, s, such as 30m; got {nominal!r}")
        if self.time_scale == 1.0:
            return nominal
        return f"{max(1, round(int(found[1]) * _UNITS[found[2]] * self.time_scale))}s"
