"""What to generate, and the sizes that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

import numpy as np

from bentos.core.errors import ConfigError

__all__ = ["DAY_SECONDS", "LATEST", "GeneratorConfig"]

DAY_SECONDS: Final = 86_400
_EARLIEST: Final = date(1970, 1, 1)
LATEST: Final = date(2200, 1, 1)

# Chosen so that a default table of 10,000 rows fills the windows: a customer pays about every other day, a merchant
# is paid about once a day. More rows mean more customers and merchants, not more days.
_ROWS_PER_CUSTOMER: Final = 50
_ROWS_PER_MERCHANT: Final = 80
_CUSTOMERS_PER_TOWN: Final = 40


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """What to generate. The same values always give the same table.

    Parameters
    ----------
    rows
        Transactions, frauds included; from 1 to 10 thousand million.
    fraud_rate
        Share of frauds, from 0 to 0.5. Exactly ``round(rows * fraud_rate)`` rows are fraud.
    seed
        Of everything that is drawn; not negative.
    days
        Length of the period; whole days in UTC.
    start
        First day of the period. The default period holds the change to summer time.

    Raises
    ------
    ConfigError
        A value is out of its range.
    """

    rows: int = 10_000
    fraud_rate: float = 0.03
    seed: int = 0
    days: int = 90
    start: date = date(2026, 3, 1)

    def __post_init__(self) -> None:
        limits = {
            "rows": (self.rows, 1, 10_000_000_000),
            "fraud_rate": (self.fraud_rate, 0, 0.5),
            "seed": (self.seed, 0, 2**63 - 1),
            "days": (self.days, 1, 3_660),
        }
        for name, (value, low, high) in limits.items():
            if not low <= value <= high:
                raise ConfigError(f"{name} is {value}; it must lie from {low} to {high}")
        if self.start < _EARLIEST or self.start.toordinal() + self.days > LATEST.toordinal():
            raise ConfigError(f"{self.days} days from {self.start} do not lie from {_EARLIEST} to before {LATEST}")

    @property
    def frauds(self) -> int:
        """Rows that are fraud."""
        return round(self.rows * self.fraud_rate)

    @property
    def customers(self) -> int:
        """Customers."""
        return max(20, round(self.rows / _ROWS_PER_CUSTOMER))

    @property
    def merchants(self) -> int:
        """Merchants, those without a place included."""
        return max(24, round(self.rows / _ROWS_PER_MERCHANT))

    @property
    def towns(self) -> int:
        """Towns where customers live."""
        return max(4, round(self.customers / _CUSTOMERS_PER_TOWN))

    @property
    def start_seconds(self) -> int:
        """First second of the period, since 1970 UTC."""
        return int(datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC).timestamp())

    def random(self, *stream: int) -> np.random.Generator:
        """A source of random numbers of its own for each ``stream``, so that no part depends on another's draws."""
        return np.random.default_rng([self.seed, *stream])
