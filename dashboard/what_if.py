"""Variants of a transaction: one field moved, the rest as it was."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final

import numpy as np

from bentos.core.features.clock import EARTH_RADIUS_KM, great_circle_km
from bentos.core.transaction import MAXIMUM_AMOUNT, Transaction

__all__ = ["DISTANCES_KM", "HOURS", "amounts", "at_distance", "at_hour", "distance_km", "varied"]

_KM_A_DEGREE: Final = math.radians(EARTH_RADIUS_KM)  # of a meridian
HOURS: Final = tuple(range(24))
DISTANCES_KM: Final = (0, 5, 10, 25, 50, 100, 150, 250, 400, 600, 900, 1300, 1800, 2500, 3500, 5000)


def amounts(amount: float) -> list[float]:
    """Amounts around this one, from 0 to twenty times it, closer together where they are small."""
    top = min(MAXIMUM_AMOUNT, max(1000.0, 20 * amount))
    return [0.0, *(round(float(value), 2) for value in np.geomspace(1, top, 28))]


def at_hour(transaction: Transaction, hour: int) -> Transaction:
    """The same on the same day at another hour of the customer's clock."""
    moved = transaction.timestamp + timedelta(hours=hour - transaction.timestamp.hour)
    return transaction.model_copy(update={"timestamp": moved})


def distance_km(transaction: Transaction) -> float | None:
    """From customer to merchant; None when either place is not known."""
    places = (
        transaction.customer_latitude,
        transaction.customer_longitude,
        transaction.merchant_latitude,
        transaction.merchant_longitude,
    )
    if any(value is None for value in places):
        return None
    return float(great_circle_km(*(np.array([value]) for value in places if value is not None))[0])


def at_distance(transaction: Transaction, kilometres: float) -> Transaction:
    """The merchant moved along the customer's meridian, towards the equator, to this distance."""
    latitude = transaction.customer_latitude or 0.0
    moved = latitude - math.copysign(kilometres / _KM_A_DEGREE, latitude or 1.0)
    place = {"merchant_latitude": moved, "merchant_longitude": transaction.customer_longitude}
    return transaction.model_copy(update=place)


def varied(transaction: Transaction) -> dict[str, list[tuple[float, Transaction]]]:
    """For each field that a slider moves, its values with the variants."""
    result = {
        "amount": [(value, transaction.model_copy(update={"amount": value})) for value in amounts(transaction.amount)],
        "hour": [(float(hour), at_hour(transaction, hour)) for hour in HOURS],
    }
    if distance_km(transaction) is not None:
        result["distance"] = [(float(value), at_distance(transaction, value)) for value in DISTANCES_KM]
    return result
