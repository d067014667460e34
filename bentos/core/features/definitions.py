"""The 21 features: name, meaning, formula and words, each in one place.

To add one, add an entry to ``FEATURES``; table, store, artifact, reasons and documentation read it from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from bentos.core.features.clock import great_circle_km
from bentos.core.features.history import (
    CATEGORY,
    CUSTOMER,
    EXACT_EVENTS,
    LABEL_DELAY_DAYS,
    LONGEST_WINDOW_DAYS,
    MAXIMUM_MINUTES,
    MERCHANT,
    History,
)
from bentos.core.features.values import Values
from bentos.core.features.windows import FloatArray

__all__ = ["FEATURES", "FEATURE_NAMES", "FEATURE_SCHEMA", "Batch", "Feature", "feature_matrix"]

#: Raise this when a formula changes its values: artifacts trained before are then refused.
_DEFINITIONS_VERSION: Final = 1
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Batch(Protocol[Values]):
    """The rows that features are computed for, or one row, with what is known of their past.

    ``hour`` and ``day_of_week`` are on the customer's clock; coordinates are in degrees, NaN when missing.
    """

    amount: Values
    hour: Values
    day_of_week: Values
    customer_latitude: Values
    customer_longitude: Values
    merchant_latitude: Values
    merchant_longitude: Values
    customer: History[Values]
    merchant: History[Values]
    category: History[Values]


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature.

    Parameters
    ----------
    name
        Column and wire name.
    unit
        Of its values.
    source
        What it is made from: the transaction alone, or the history of the key kind of that name.
    default
        Its value when that history cannot be asked.
    description
        One line for documents.
    compute
        From a batch of n rows to float64 [n], or from one row to its number.
    text
        From a value to the words of a reason.
    """

    name: str
    unit: str
    source: str
    default: float
    description: str
    compute: Callable[[Batch[Any]], Any]
    text: Callable[[float], str]

    def reason_text(self, value: float) -> str:
        """Words for a reason, such as "amount is 8.2 standard deviations above this customer's 30-day mean"."""
        return self.text(value)


def _plural(value: float, noun: str) -> str:
    return f"{value:,.0f} {noun}" + ("" if value == 1 else "s")


def _span(days: int) -> str:
    return "day" if days == 1 else f"{days} days"


def _deviation_text(value: float) -> str:
    if value == 0:
        return "amount is at this customer's 30-day mean, or too little is known to tell"
    side = "above" if value > 0 else "below"
    return f"amount is {abs(value):.1f} standard deviations {side} this customer's 30-day mean"


def _last_text(minutes: float) -> str:
    if minutes >= MAXIMUM_MINUTES:
        return f"this customer's first transaction in {LONGEST_WINDOW_DAYS} days"
    if minutes < 120:
        return f"{_plural(round(minutes), 'minute')} since this customer's last transaction"
    if minutes < 48 * 60:
        return f"{minutes / 60:.0f} hours since this customer's last transaction"
    return f"{minutes / 1440:.0f} days since this customer's last transaction"


def _distance_text(value: float) -> str:
    return "distance between customer and merchant is not known" if value < 0 else f"merchant is {value:,.0f} km away"


def _customer_transactions(days: int) -> Feature:
    return Feature(
        f"customer_transactions_{days}d",
        "transactions",
        CUSTOMER.name,
        1.0,
        f"The customer's transactions in the last {_span(days)}, this one included.",
        lambda batch: batch.customer.count(days) + 1.0,
        lambda value: f"{_plural(value, 'transaction')} by this customer in the last {_span(days)}",
    )


def _customer_average_amount(days: int) -> Feature:
    return Feature(
        f"customer_average_amount_{days}d",
        "account currency",
        CUSTOMER.name,
        0.0,
        f"Mean amount of the customer's transactions in the last {_span(days)}, this one included.",
        lambda batch: batch.customer.mean_amount(days),
        lambda value: f"this customer's mean amount over the last {_span(days)} is {value:,.2f}",
    )


def _merchant_transactions(days: int) -> Feature:
    return Feature(
        f"merchant_transactions_{days}d",
        "transactions",
        MERCHANT.name,
        0.0,
        f"The merchant's transactions in the {_span(days)} that ended {LABEL_DELAY_DAYS} days ago.",
        lambda batch: batch.merchant.count(days),
        lambda value: f"{_plural(value, 'transaction')} at this merchant in the {_span(days)} that ended a week ago",
    )


def _merchant_fraud_rate(days: int) -> Feature:
    return Feature(
        f"merchant_fraud_rate_{days}d",
        "share",
        MERCHANT.name,
        0.0,
        f"Share of fraud in the merchant's transactions of the {_span(days)} that ended {LABEL_DELAY_DAYS} days ago.",
        lambda batch: batch.merchant.fraud_rate(days),
        lambda value: (
            f"{value:.1%} of this merchant's transactions in the {_span(days)} that ended a week ago were fraud"
        ),
    )


FEATURES: Final[tuple[Feature, ...]] = (
    Feature(
        "amount",
        "account currency",
        "transaction",
        0.0,
        "Amount of this transaction.",
        lambda batch: batch.amount,
        lambda value: f"amount is {value:,.2f}",
    ),
    Feature(
        "hour",
        "hour of day",
        "transaction",
        0.0,
        "Hour on the customer's clock, 0 to 23.",
        lambda batch: batch.hour,
        lambda value: f"made between {value:.0f} and {value + 1:.0f} o'clock",
    ),
    Feature(
        "day_of_week",
        "day",
        "transaction",
        0.0,
        "Day on the customer's clock, Monday 0 to Sunday 6.",
        lambda batch: batch.day_of_week,
        lambda value: f"made on a {_DAYS[int(value) % 7]}",
    ),
    Feature(
        "is_weekend",
        "flag",
        "transaction",
        0.0,
        "1 on Saturday and Sunday, the customer's clock.",
        lambda batch: (batch.day_of_week >= 5) * 1.0,
        lambda value: "made on a weekend" if value else "made on a working day",
    ),
    Feature(
        "is_night",
        "flag",
        "transaction",
        0.0,
        "1 in the hours 0 to 5, the customer's clock.",
        lambda batch: (batch.hour <= 5) * 1.0,
        lambda value: "made at night" if value else "not made at night",
    ),
    Feature(
        "minutes_since_last_transaction",
        "minutes",
        CUSTOMER.name,
        MAXIMUM_MINUTES,
        "Since the customer's previous transaction; 43,200 at most and when there is none.",
        lambda batch: batch.customer.minutes_since_last(),
        _last_text,
    ),
    Feature(
        "amount_deviation",
        "standard deviations",
        CUSTOMER.name,
        0.0,
        "Distance of the amount from the customer's 30-day mean, both without this transaction.",
        lambda batch: batch.customer.amount_deviation(LONGEST_WINDOW_DAYS),
        _deviation_text,
    ),
    *(_customer_transactions(days) for days in (1, 7, 30)),
    *(_customer_average_amount(days) for days in (1, 7, 30)),
    *(_merchant_transactions(days) for days in (1, 7, 30)),
    *(_merchant_fraud_rate(days) for days in (1, 7, 30)),
    Feature(
        "merchant_category_fraud_rate_30d",
        "share",
        CATEGORY.name,
        0.0,
        f"Share of fraud in the merchant's category in the 30 days that ended {LABEL_DELAY_DAYS} days ago.",
        lambda batch: batch.category.fraud_rate(30),
        lambda value: (
            f"{value:.1%} of transactions in this merchant's category in the 30 days that ended a week ago were fraud"
        ),
    ),
    Feature(
        "distance_km",
        "km",
        "transaction",
        -1.0,
        "Great circle distance between customer and merchant; −1 when not known.",
        lambda batch: great_circle_km(
            batch.customer_latitude, batch.customer_longitude, batch.merchant_latitude, batch.merchant_longitude
        ),
        _distance_text,
    ),
)

FEATURE_NAMES: Final[tuple[str, ...]] = tuple(feature.name for feature in FEATURES)


def _schema_digest() -> str:
    parts = (_DEFINITIONS_VERSION, LABEL_DELAY_DAYS, EXACT_EVENTS, *FEATURE_NAMES)
    return hashlib.sha256("\n".join(str(part) for part in parts).encode()).hexdigest()


#: Digest of names, order and version of the definitions. Tables, artifacts and snapshots carry it.
FEATURE_SCHEMA: Final = _schema_digest()


def feature_matrix(batch: Batch[FloatArray]) -> FloatArray:
    """Every feature of a batch of n rows, float64 [n, 21] in the order of ``FEATURES``."""
    result = np.empty((len(batch.amount), len(FEATURES)))
    for column, feature in enumerate(FEATURES):
        result[:, column] = feature.compute(batch)
    return result
