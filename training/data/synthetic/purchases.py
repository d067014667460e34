"""Honest purchases of one day: single ones by habit, now and then a round of shops in a short time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.config import DAY_SECONDS
from training.data.synthetic.customers import World
from training.data.synthetic.merchants import FloatArray, IntArray

__all__ = ["HONEST", "Rows", "honest_day", "rows_per_day"]

HONEST: Final = -1
_FAVOURITE_WEIGHTS: Final = 0.6 ** np.arange(6)
#: Of the rows of a day; a round looks much like a thief's spree.
_ROUND_SHARE: Final = 0.045
_DAY_TRIP_SHARE: Final = 0.02
_LARGE_SHARE: Final = 0.02
_DAY_FACTORS: Final = (0.92, 0.90, 0.95, 1.0, 1.15, 1.25, 0.83)  # Monday first
_TRIES: Final = 6


@dataclass(frozen=True, slots=True)
class Rows:
    """Transactions in no order; arrays are [n].

    ``time`` is in seconds since 1970 UTC; ``fraud`` is the position of the kind in ``FRAUD_KINDS``, or ``HONEST``.
    """

    time: IntArray
    customer: IntArray
    merchant: IntArray
    amount: FloatArray
    fraud: IntArray

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Rows:
        """The rows of an index or a mask."""
        return Rows(*(getattr(self, name)[index] for name in self.__slots__))

    @classmethod
    def joined(cls, parts: list[Rows]) -> Rows:
        """All rows of the parts (at least one), in their order."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))


def rows_per_day(world: World, total: int) -> IntArray:
    """Honest rows of each day, int64 [days]: weekdays differ, the sum is ``total``."""
    config = world.config
    weekday = (config.start.weekday() + np.arange(config.days)) % 7
    weights = np.array(_DAY_FACTORS)[weekday] * config.random(3).lognormal(0, 0.05, config.days)
    until = np.round(np.cumsum(weights) / weights.sum() * total).astype(np.int64)
    counts: IntArray = np.diff(until, prepend=0)
    return counts


def _round_sizes(random: np.random.Generator, rows: int) -> IntArray:
    sizes = random.integers(2, 7, rows // 2 + 1)
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), rows, side="right"))]
    rest = rows - int(sizes.sum())
    return np.append(sizes, rest) if rest else sizes


def _places(world: World, random: np.random.Generator, customer: IntArray, day: int) -> IntArray:
    """A merchant for each purchase: online, a favourite, another one where the customer is, or the next town."""
    customers, merchants, towns = world.customers, world.merchants, world.towns
    count = len(customer)
    town = customers.whereabouts(customer, day)
    at_home = town == customers.town[customer]
    town = np.where(random.random(count) < _DAY_TRIP_SHARE, random.integers(0, world.config.towns, count), town)
    online = random.random(count) < customers.online[customer]
    merchant = merchants.pick(random, np.where(online, towns.online, town))
    loyal = at_home & ~online & (random.random(count) < customers.loyalty[customer])
    weights = _FAVOURITE_WEIGHTS / _FAVOURITE_WEIGHTS.sum()
    favourite = customers.favourites[customer, random.choice(len(weights), count, p=weights)]
    return np.where(loyal, favourite, merchant)


def _hours(world: World, random: np.random.Generator, customer: IntArray, merchant: IntArray) -> FloatArray:
    """A local hour for each purchase by the customer's rhythm, as far as the merchant is open then."""
    customers = world.customers
    hour = np.empty(len(customer))
    left = np.arange(len(customer))
    for _ in range(_TRIES):
        who = customer[left]
        hour[left] = random.normal(customers.awake[who], customers.awake_spread[who]) % 24
        closed = ~world.merchants.is_open(merchant[left], hour[left])
        left = left[closed]
    # Who is never awake while the merchant is open comes at any of its hours.
    opens, closes = world.merchants.hours(merchant[left])
    hour[left] = random.uniform(opens, closes) % 24
    return hour


def honest_day(world: World, day: int, count: int) -> Rows:
    """The ``count`` honest purchases of a day."""
    random = world.config.random(4, day)
    customers = world.customers
    rounds = _round_sizes(random, round(count * _ROUND_SHARE))
    sizes = np.concatenate([np.ones(count - int(rounds.sum()), dtype=np.int64), rounds])

    weight = np.cumsum(np.where(customers.joined <= day, customers.rate, 0.0))
    leader = np.searchsorted(weight, random.random(len(sizes)) * weight[-1], side="right")
    leader = np.minimum(leader, len(weight) - 1)
    first_place = _places(world, random, leader, day)
    first_time = world.at_local(leader, day, _hours(world, random, leader, first_place))

    lead = np.repeat(np.arange(len(sizes)), sizes)
    begins = np.cumsum(sizes) - sizes
    is_first = np.zeros(count, dtype=bool)
    is_first[begins] = True
    customer = leader[lead]
    merchant = np.where(is_first, first_place[lead], _places(world, random, customer, day))
    gaps = np.where(is_first, 0, np.ceil(random.exponential(20 * 60, count)).astype(np.int64))
    running = np.cumsum(gaps)
    time = first_time[lead] + running - running[begins][lead]
    # A round that would go on past midnight UTC ends there: a day's rows are this day's.
    last = world.config.start_seconds + (day + 1) * DAY_SECONDS - 1
    time = np.minimum(time, last)

    amount = world.amounts(random, customer, merchant)
    large = random.random(count) < _LARGE_SHARE
    amount = np.where(large, amount * random.uniform(3, 10, count), amount)
    return Rows(time, customer, merchant, amount, np.full(count, HONEST))
