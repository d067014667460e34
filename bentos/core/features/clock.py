"""What one transaction says by itself: the customer's clock, and the distance to the merchant."""

from __future__ import annotations

from typing import Final

import numpy as np

from bentos.core.features.windows import FloatArray, IntArray

__all__ = ["DAY", "EARTH_RADIUS_KM", "HOUR", "MINUTE", "SECOND", "great_circle_km", "local_day_of_week", "local_hour"]

#: Instants and spans are int64 microseconds; instants count from 1970-01-01T00:00Z.
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

#: Mean radius R1 of the GRS 80 ellipsoid (Moritz, "Geodetic Reference System 1980").
EARTH_RADIUS_KM: Final = 6371.0088
_MISSING_DISTANCE: Final = -1.0
_FIRST_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday; Monday is 0.


def local_hour(time: IntArray, utc_offset_seconds: IntArray) -> FloatArray:
    """Hour of the day, 0 to 23, on the clock of the given offset."""
    hours: FloatArray = ((time + utc_offset_seconds * SECOND) // HOUR % 24).astype(np.float64)
    return hours


def local_day_of_week(time: IntArray, utc_offset_seconds: IntArray) -> FloatArray:
    """Day of the week, Monday 0 to Sunday 6, on the clock of the given offset."""
    days: FloatArray = (((time + utc_offset_seconds * SECOND) // DAY + _FIRST_WEEKDAY) % 7).astype(np.float64)
    return days


def great_circle_km(
    latitude_a: FloatArray, longitude_a: FloatArray, latitude_b: FloatArray, longitude_b: FloatArray
) -> FloatArray:
    """Great circle distance in km by the haversine formula; −1 where a coordinate is NaN.

    Sinnott, "Virtues of the Haversine", Sky and Telescope 68 (1984): unlike the law of cosines it keeps its
    precision for places close to each other.
    """
    lat_a, lon_a, lat_b, lon_b = (np.radians(side) for side in (latitude_a, longitude_a, latitude_b, longitude_b))
    chord = np.sin((lat_b - lat_a) / 2) ** 2 + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    distance = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(chord, 1.0)))
    result: FloatArray = np.where(np.isnan(distance), _MISSING_DISTANCE, distance)
    return result
