"""What one transaction says by itself: the customer's clock, and the distance to the merchant."""

from __future__ import annotations

import math
from typing import Any, Final

from bentos.core.features.values import Values, minimum, square_root, trigonometry, where

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
_RADIAN: Final = math.pi / 180


def local_hour(time: Any, utc_offset_seconds: Any) -> Any:
    """Hour of the day, 0 to 23, on the clock of the given offset; int64 [n] give float64 [n], int gives float."""
    return (time + utc_offset_seconds * SECOND) // HOUR % 24 * 1.0


def local_day_of_week(time: Any, utc_offset_seconds: Any) -> Any:
    """Day of the week, Monday 0 to Sunday 6, on the clock of the given offset; as :func:`local_hour`."""
    return ((time + utc_offset_seconds * SECOND) // DAY + _FIRST_WEEKDAY) % 7 * 1.0


def great_circle_km(latitude_a: Values, longitude_a: Values, latitude_b: Values, longitude_b: Values) -> Values:
    """Great circle distance in km by the haversine formula; −1 where a coordinate is NaN.

    Sinnott, "Virtues of the Haversine", Sky and Telescope 68 (1984): unlike the law of cosines it keeps its
    precision for places close to each other.
    """
    of = trigonometry(latitude_a)
    lat_a, lat_b = latitude_a * _RADIAN, latitude_b * _RADIAN
    across = of.sin((longitude_b * _RADIAN - longitude_a * _RADIAN) / 2)
    chord = of.sin((lat_b - lat_a) / 2) ** 2 + of.cos(lat_a) * of.cos(lat_b) * across**2
    distance: Values = 2 * EARTH_RADIUS_KM * of.asin(square_root(minimum(chord, 1.0)))
    # NaN is the only value that does not equal itself.
    return where(distance == distance, distance, _MISSING_DISTANCE)  # noqa: PLR0124
