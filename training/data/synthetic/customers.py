"""Customers: where they live, how they pay, when they are awake, where they travel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from training.data.synthetic.config import DAY_SECONDS, GeneratorConfig
from training.data.synthetic.merchants import (
    CATEGORIES,
    FloatArray,
    IntArray,
    Merchants,
    Towns,
    make_merchants,
    make_towns,
    scatter,
)

__all__ = ["Customers", "World", "make_world"]

_FAVOURITES: Final = 6
_HOME_RADIUS_KM: Final = 8.0
_TRIPS: Final = 2
_NIGHT_OWLS: Final = 0.08
_JOIN_LATER: Final = 0.12
_TRIPS_FAR: Final = 0.2


@dataclass(frozen=True, slots=True)
class Customers:
    """Customers; arrays are [c] unless noted.

    Parameters
    ----------
    town
        Where they live.
    latitude, longitude
        Of their homes, in degrees.
    rate
        Purchases a day, relative to others.
    joined
        First day on which they pay.
    level
        Factor on every price.
    spread
        Standard deviation of the logarithm of that factor from purchase to purchase.
    awake, awake_spread
        Mean and standard deviation of the local hour of a purchase.
    loyalty
        Share of purchases at a favourite merchant.
    online
        Share of purchases at merchants without a place.
    favourites
        int64 [c, 6], merchants of their town, the best liked first.
    trip_start, trip_end, trip_town
        int64 [c, 2], days from and to before which they are away, and where.
    """

    town: IntArray
    latitude: FloatArray
    longitude: FloatArray
    rate: FloatArray
    joined: IntArray
    level: FloatArray
    spread: FloatArray
    awake: FloatArray
    awake_spread: FloatArray
    loyalty: FloatArray
    online: FloatArray
    favourites: IntArray
    trip_start: IntArray
    trip_end: IntArray
    trip_town: IntArray

    def whereabouts(self, customer: IntArray, day: int) -> IntArray:
        """The town that each customer is in on a day."""
        town = self.town[customer]
        for trip in range(_TRIPS):
            away = (self.trip_start[customer, trip] <= day) & (day < self.trip_end[customer, trip])
            town = np.where(away, self.trip_town[customer, trip], town)
        return town


@dataclass(frozen=True, slots=True)
class World:
    """All that stands before the first transaction; what it holds grows with customers and merchants, not with rows."""

    config: GeneratorConfig
    towns: Towns
    merchants: Merchants
    customers: Customers

    def utc_offset(self, customer: IntArray, time: IntArray) -> IntArray:
        """Offset of each customer's clock from UTC at each instant (seconds since 1970), int64 [n] in seconds."""
        result = np.zeros(len(time), dtype=np.int64)
        zone = self.towns.zone[self.customers.town[customer]]
        for number, name in enumerate(self.towns.zones):
            here = np.flatnonzero(zone == number)
            instants = pd.DatetimeIndex(time[here].astype("datetime64[s]"), tz="UTC")
            local = instants.tz_convert(name).tz_localize(None).to_numpy("datetime64[s]").astype(np.int64)
            result[here] = local - time[here]
        return result

    def at_local(self, customer: IntArray, day: int, hour: FloatArray) -> IntArray:
        """Instants within a UTC day at which the customers' clocks show an hour (0 to 24), in seconds since 1970.

        In the night in which a clock is changed it may show the hour beside.
        """
        midnight = self.config.start_seconds + day * DAY_SECONDS
        noon = np.full(len(customer), midnight + DAY_SECONDS // 2)
        local = np.floor(hour * 3600).astype(np.int64) - self.utc_offset(customer, noon)
        return midnight + local % DAY_SECONDS

    def amounts(self, random: np.random.Generator, customer: IntArray, merchant: IntArray) -> FloatArray:
        """Amounts that these customers usually pay at these merchants, not rounded."""
        category = self.merchants.category[merchant]
        price = np.array([kind.price for kind in CATEGORIES])[category]
        spread = np.hypot(np.array([kind.spread for kind in CATEGORIES])[category], self.customers.spread[customer])
        drawn: FloatArray = price * self.customers.level[customer] * np.exp(spread * random.standard_normal(len(price)))
        return drawn


def _make_customers(
    config: GeneratorConfig, towns: Towns, merchants: Merchants, random: np.random.Generator
) -> Customers:
    count = config.customers
    town = random.integers(0, config.towns, count)
    latitude, longitude = scatter(random, towns.latitude[town], towns.longitude[town], _HOME_RADIUS_KM)
    owls = random.random(count) < _NIGHT_OWLS
    late = random.random(count) < _JOIN_LATER
    trip_start = random.integers(-config.days // 2, config.days, (count, _TRIPS))
    trip_town = np.where(
        random.random((count, _TRIPS)) < _TRIPS_FAR,
        random.integers(config.towns, towns.online, (count, _TRIPS)),
        random.integers(0, config.towns, (count, _TRIPS)),
    )
    return Customers(
        town=town,
        latitude=latitude,
        longitude=longitude,
        rate=random.lognormal(0, 0.55, count),
        joined=np.where(late, random.integers(0, max(1, config.days * 2 // 3), count), 0),
        level=random.lognormal(0, 0.45, count),
        spread=random.uniform(0.15, 0.6, count),
        awake=np.where(owls, random.normal(22.5, 1.5, count), random.normal(14.5, 2.0, count)),
        awake_spread=random.uniform(2.5, 4.5, count),
        loyalty=random.uniform(0.45, 0.85, count),
        online=random.uniform(0.03, 0.35, count),
        favourites=np.stack([merchants.pick(random, town) for _ in range(_FAVOURITES)], axis=1),
        trip_start=trip_start,
        trip_end=trip_start + random.integers(2, 10, (count, _TRIPS)),
        trip_town=trip_town,
    )


def make_world(config: GeneratorConfig) -> World:
    """Draw towns, merchants and customers."""
    towns = make_towns(config, config.random(0))
    merchants = make_merchants(config, towns, config.random(1))
    return World(config, towns, merchants, _make_customers(config, towns, merchants, config.random(2)))
