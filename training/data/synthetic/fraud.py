"""Kinds of fraud. To add one, write its two functions and add an entry to ``FRAUD_KINDS``; shares are scaled to 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from training.data.synthetic.config import DAY_SECONDS
from training.data.synthetic.customers import World
from training.data.synthetic.merchants import FloatArray, IntArray
from training.data.synthetic.purchases import HONEST, Rows

__all__ = ["FRAUD_KINDS", "Episodes", "FraudKind", "draw_frauds", "plan_episodes"]

Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class Episodes:
    """Frauds that belong together; arrays are int64 [e].

    ``day`` is the first day, ``subject`` the customer (or, for a leaking merchant, the merchant) concerned, ``size``
    the number of fraudulent transactions.
    """

    day: IntArray
    subject: IntArray
    size: IntArray

    def on(self, day: int) -> Episodes:
        """Those that begin on a day."""
        chosen = self.day == day
        return Episodes(self.day[chosen], self.subject[chosen], self.size[chosen])

    def number(self) -> IntArray:
        """For each transaction the position of its episode."""
        return np.repeat(np.arange(len(self.size)), self.size)

    def step(self) -> IntArray:
        """For each transaction its position within its episode, from 0."""
        ends = np.cumsum(self.size)
        return np.arange(self.size.sum()) - np.repeat(ends - self.size, self.size)


@dataclass(frozen=True, slots=True)
class FraudKind:
    """One kind of fraud.

    Parameters
    ----------
    name
        For documents.
    share
        Of all frauds, relative to the other kinds.
    longest_days
        An episode begins at least so many days before the end of the table.
    subjects
        Draws whom n episodes concern, and how many frauds each of them has: two int64 [n].
    draw
        Draws the transactions of episodes that begin on the same day, without ``fraud``.
    """

    name: str
    share: float
    longest_days: int
    subjects: Callable[[World, Random, int], tuple[IntArray, IntArray]]
    draw: Callable[[World, Random, Episodes], Rows]


def plan_episodes(world: World, kind: FraudKind, random: Random, frauds: int) -> Episodes:
    """Draw episodes of a kind that hold exactly ``frauds`` transactions."""
    subject, size = np.empty((2, 0), dtype=np.int64)
    while size.sum() < frauds:
        more = kind.subjects(world, random, max(8, frauds // 8))
        subject, size = np.append(subject, more[0]), np.append(size, more[1])
    ends = np.cumsum(size)
    count = int(np.searchsorted(ends, frauds)) + 1 if frauds else 0
    size = size[:count].copy()
    if count:
        size[-1] -= ends[count - 1] - frauds
    # One start in each of ``count`` equal spans: no part of a small table is without fraud by chance.
    span = max(1, world.config.days - kind.longest_days + 1)
    day = ((random.permutation(count) + random.random(count)) * span / max(1, count)).astype(np.int64)
    return Episodes(day, subject[:count], size)


def _victims(smallest: int, largest: int) -> Callable[[World, Random, int], tuple[IntArray, IntArray]]:
    def subjects(world: World, random: Random, count: int) -> tuple[IntArray, IntArray]:
        return random.integers(0, world.config.customers, count), random.integers(smallest, largest + 1, count)

    return subjects


def _running(random: Random, episodes: Episodes, mean_seconds: float) -> IntArray:
    """Seconds since the first transaction of the episode, exponential gaps apart."""
    gaps = np.where(episodes.step() == 0, 0, np.ceil(random.exponential(mean_seconds, int(episodes.size.sum()))))
    total = np.cumsum(gaps)
    begins = np.cumsum(episodes.size) - episodes.size
    running: IntArray = (total - total[begins][episodes.number()]).astype(np.int64)
    return running


def _first_times(world: World, episodes: Episodes, hour: FloatArray) -> IntArray:
    day = int(episodes.day[0])
    return world.at_local(episodes.subject, day, hour % 24)[episodes.number()]


def _rows(time: IntArray, customer: IntArray, merchant: IntArray, amount: FloatArray) -> Rows:
    return Rows(time, customer, merchant, amount, np.full(len(time), HONEST))


def _draw_spree(world: World, random: Random, episodes: Episodes) -> Rows:
    """A stolen card is used up: many purchases in a few hours, in shops whose goods sell, often in the same town."""
    customer = episodes.subject[episodes.number()]
    home = world.customers.town[episodes.subject]
    elsewhere = random.random(len(home)) < 0.4
    town = np.where(elsewhere, random.integers(0, world.config.towns, len(home)), home)[episodes.number()]
    online = random.random(len(town)) < 0.2
    merchant = world.merchants.pick(random, np.where(online, world.towns.online, town), loot=True)
    time = _first_times(world, episodes, random.normal(15.5, 3.5, len(home))) + _running(random, episodes, 7 * 60)
    amount = world.amounts(random, customer, merchant) * random.uniform(1.2, 3.0, len(time))
    return _rows(time, customer, merchant, amount)


_LEAK_DAYS: Final = (28, 42)


def _leaks(world: World, random: Random, count: int) -> tuple[IntArray, IntArray]:
    """Merchants that leak, with frauds in proportion to their trade."""
    config = world.config
    merchant = random.integers(0, config.merchants, count)
    trade = config.rows / config.merchants / config.days * sum(_LEAK_DAYS) / 2
    return merchant, np.maximum(4, np.round(trade * random.uniform(0.4, 0.8, count))).astype(np.int64)


def _draw_leak(world: World, random: Random, episodes: Episodes) -> Rows:
    """A merchant leaks for weeks: its customers' cards are charged there, by amounts and at hours like any other."""
    merchant = episodes.subject[episodes.number()]
    config = world.config
    longest = min(_LEAK_DAYS[1], config.days - int(episodes.day[0]))
    length = random.integers(min(_LEAK_DAYS[0], longest), longest + 1, len(episodes.size))[episodes.number()]
    customer = random.integers(0, config.customers, len(merchant))
    day_of = np.floor(random.random(len(merchant)) * length).astype(np.int64)
    hour = random.normal(world.customers.awake[customer], world.customers.awake_spread[customer]) % 24
    time = world.at_local(customer, int(episodes.day[0]), hour) + day_of * DAY_SECONDS
    amount = world.amounts(random, customer, merchant) * random.uniform(0.8, 1.6, len(time))
    return _rows(time, customer, merchant, amount)


def _draw_takeover(world: World, random: Random, episodes: Episodes) -> Rows:
    """An account is taken over and used far from home within two days, mostly at night, for other amounts."""
    customer = episodes.subject[episodes.number()]
    towns = world.towns
    home = world.customers.town[episodes.subject]
    far = random.integers(world.config.towns, towns.online, len(home))
    near = (home + random.integers(1, world.config.towns, len(home))) % world.config.towns
    town = np.where(random.random(len(home)) < 0.5, far, near)[episodes.number()]
    merchant = world.merchants.pick(random, town, loot=True)
    at_night = random.random(len(home)) < 0.6
    hour = np.where(at_night, random.uniform(0, 6, len(home)), random.normal(15, 4, len(home)))
    time = _first_times(world, episodes, hour) + _running(random, episodes, 4 * 3600)
    amount = world.amounts(random, customer, merchant) * random.uniform(1.0, 4.0, len(time))
    return _rows(time, customer, merchant, amount)


def _draw_testing(world: World, random: Random, episodes: Episodes) -> Rows:
    """A card number is tried with tiny amounts, some of them zero, at merchants online; then one large purchase."""
    customer = episodes.subject[episodes.number()]
    online = np.full(len(customer), world.towns.online)
    merchant = world.merchants.pick(random, online, loot=True)
    begins = _first_times(world, episodes, random.uniform(0, 24, len(episodes.size)))
    time = begins + _running(random, episodes, 6 * 60)
    is_last = (episodes.step() == episodes.size[episodes.number()] - 1) & (episodes.step() > 0)
    time = time + np.where(is_last, random.integers(0, 5 * 3600, len(time)), 0)
    tiny = np.where(random.random(len(time)) < 0.2, 0.0, random.uniform(0.1, 3.0, len(time)))
    amount = np.where(is_last, world.amounts(random, customer, merchant) * random.uniform(3, 12, len(time)), tiny)
    return _rows(time, customer, merchant, amount)


FRAUD_KINDS: Final[tuple[FraudKind, ...]] = (
    FraudKind("stolen card spree", 0.32, 2, _victims(5, 12), _draw_spree),
    FraudKind("compromised merchant", 0.26, _LEAK_DAYS[0], _leaks, _draw_leak),
    FraudKind("account takeover far from home", 0.22, 3, _victims(2, 6), _draw_takeover),
    FraudKind("card testing", 0.20, 2, _victims(5, 11), _draw_testing),
)


def draw_frauds(world: World, number: int, day: int, episodes: Episodes) -> Rows:
    """The transactions of the episodes of the kind ``FRAUD_KINDS[number]`` that begin on a day (at least one)."""
    rows = FRAUD_KINDS[number].draw(world, world.config.random(6, number, day), episodes)
    return replace(rows, fraud=np.full(len(rows.time), number))
