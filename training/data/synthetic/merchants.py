"""Towns, categories and the merchants in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.config import GeneratorConfig

__all__ = ["CATEGORIES", "Category", "Merchants", "Towns", "make_merchants", "make_towns"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Category:
    """What a kind of merchant sells, and when.

    Parameters
    ----------
    name
        As in ``merchant_category``.
    price
        Median amount, in the account's currency.
    spread
        Standard deviation of the amount's logarithm.
    opens, closes
        Local hours; past 24 means the next morning. 0 and 24: always open.
    share
        Of merchants, before it is scaled to 1.
    loot
        How gladly a thief buys here; 1 is as gladly as anyone.
    online
        Sells at no place: its merchants have no coordinates.
    """

    name: str
    price: float
    spread: float
    opens: int
    closes: int
    share: float
    loot: float = 1.0
    online: bool = False


CATEGORIES: Final[tuple[Category, ...]] = (
    Category("grocery", 31.0, 0.70, 7, 22, 0.20),
    Category("restaurant", 34.0, 0.55, 11, 24, 0.15),
    Category("fuel", 48.0, 0.40, 0, 24, 0.08, loot=2.0),
    Category("pharmacy", 17.0, 0.60, 8, 20, 0.07),
    Category("clothing", 58.0, 0.65, 9, 20, 0.10, loot=1.5),
    Category("electronics", 130.0, 0.90, 9, 20, 0.07, loot=4.0),
    Category("jewellery", 150.0, 0.80, 10, 19, 0.03, loot=4.0),
    Category("travel", 180.0, 0.80, 6, 23, 0.05, loot=1.5),
    Category("transport", 7.5, 0.60, 0, 24, 0.07),
    Category("nightlife", 21.0, 0.60, 18, 29, 0.06),
    Category("digital_goods", 6.0, 0.80, 0, 24, 0.06, loot=3.0, online=True),
    Category("online_retail", 46.0, 0.80, 0, 24, 0.08, loot=2.0, online=True),
)

#: Boxes where customers live: zone, latitudes, longitudes, share of towns. The zones change their clocks in one night.
_REGIONS: Final = (
    ("Europe/Berlin", (48.0, 53.0), (7.0, 13.0), 0.5),
    ("Europe/London", (51.0, 54.0), (-3.0, 0.0), 0.25),
    ("Europe/Athens", (38.0, 41.0), (21.5, 23.5), 0.25),
)
#: Where only travellers and thieves pay.
_FAR: Final = ((40.7, -74.0), (1.35, 103.8), (-23.5, -46.6), (25.2, 55.3))
_TOWN_RADIUS_KM: Final = 6.0
_KM_PER_DEGREE: Final = 111.2


@dataclass(frozen=True, slots=True)
class Towns:
    """Places where people pay: those with customers first, then the far ones.

    ``latitude`` and ``longitude`` are float64 [t + far] in degrees; ``zone`` is int64 [t], an index of ``zones``.
    """

    latitude: FloatArray
    longitude: FloatArray
    zone: IntArray
    zones: tuple[str, ...]

    @property
    def online(self) -> int:
        """Number of the town that is no place."""
        return len(self.latitude)


@dataclass(frozen=True, slots=True)
class Merchants:
    """Merchants in order of their town; arrays are [m]. Coordinates of online ones are NaN.

    ``first`` is int64 [towns + 2]: town k holds the merchants from ``first[k]`` to before ``first[k + 1]``.
    ``popular`` and ``loot`` are float64 [m + 1], running sums of the weights of honest people and of thieves.
    """

    category: IntArray
    latitude: FloatArray
    longitude: FloatArray
    first: IntArray
    popular: FloatArray
    loot: FloatArray

    def pick(self, random: np.random.Generator, town: IntArray, *, loot: bool = False) -> IntArray:
        """Draw a merchant of each town in ``town`` (int64 [n]) by its weight."""
        running = self.loot if loot else self.popular
        low, high = running[self.first[town]], running[self.first[town + 1]]
        found = np.searchsorted(running, low + random.random(len(town)) * (high - low), side="right") - 1
        return np.clip(found, self.first[town], self.first[town + 1] - 1)

    def hours(self, merchant: IntArray) -> tuple[IntArray, IntArray]:
        """Local hours from and to before which each merchant sells; past 24 is the next morning."""
        opens = np.array([kind.opens for kind in CATEGORIES])[self.category[merchant]]
        closes = np.array([kind.closes for kind in CATEGORIES])[self.category[merchant]]
        return opens, closes

    def is_open(self, merchant: IntArray, hour: FloatArray) -> NDArray[np.bool_]:
        """Whether each merchant sells at a local hour (0 to 24)."""
        opens, closes = self.hours(merchant)
        result: NDArray[np.bool_] = ((hour >= opens) & (hour < closes)) | (hour + 24 < closes)
        return result


def scatter(
    random: np.random.Generator, latitude: FloatArray, longitude: FloatArray, radius_km: float
) -> tuple[FloatArray, FloatArray]:
    """Places around places, normally distributed, in degrees rounded to about a metre."""
    north, east = random.normal(0, radius_km, (2, len(latitude)))
    around = longitude + east / (_KM_PER_DEGREE * np.cos(np.radians(latitude)))
    return np.round(latitude + north / _KM_PER_DEGREE, 5), np.round(around, 5)


def make_towns(config: GeneratorConfig, random: np.random.Generator) -> Towns:
    """Draw the towns; the first ones go round the regions, so that none is without."""
    shares = np.array([share for *_, share in _REGIONS])
    zone = random.choice(len(_REGIONS), config.towns, p=shares)
    zone[: len(_REGIONS)] = np.arange(len(_REGIONS))
    latitudes = np.array([box for _, box, _, _ in _REGIONS])[zone]
    longitudes = np.array([box for _, _, box, _ in _REGIONS])[zone]
    far = np.array(_FAR)
    return Towns(
        latitude=np.concatenate([random.uniform(latitudes[:, 0], latitudes[:, 1]), far[:, 0]]),
        longitude=np.concatenate([random.uniform(longitudes[:, 0], longitudes[:, 1]), far[:, 1]]),
        zone=zone.astype(np.int64),
        zones=tuple(name for name, *_ in _REGIONS),
    )


def make_merchants(config: GeneratorConfig, towns: Towns, random: np.random.Generator) -> Merchants:
    """Draw the merchants: about a seventh online, one in twelve of the others far away, the rest at home."""
    shares = np.array([kind.share for kind in CATEGORIES])
    category = random.choice(len(CATEGORIES), config.merchants, p=shares / shares.sum()).astype(np.int64)
    # The first of each category and of each town exist in any table, however small.
    category[: len(CATEGORIES)] = np.arange(len(CATEGORIES))
    online = np.array([kind.online for kind in CATEGORIES])[category]
    town = np.where(
        random.random(config.merchants) < 1 / 12,
        random.integers(config.towns, towns.online, config.merchants),
        random.integers(0, config.towns, config.merchants),
    )
    placed = np.flatnonzero(~online)
    town[placed[: towns.online]] = np.arange(towns.online)[: len(placed)]
    town[online] = towns.online
    order = np.argsort(town, kind="stable")
    category, town = category[order], town[order]
    first = np.searchsorted(town, np.arange(towns.online + 2))

    latitude, longitude = np.full((2, config.merchants), np.nan)
    here = town < towns.online
    latitude[here], longitude[here] = scatter(
        random, towns.latitude[town[here]], towns.longitude[town[here]], _TOWN_RADIUS_KM
    )
    weight = random.lognormal(0, 0.7, config.merchants)
    gladly = np.array([kind.loot for kind in CATEGORIES])[category]
    return Merchants(
        category=category,
        latitude=latitude,
        longitude=longitude,
        first=first,
        popular=np.concatenate([[0.0], np.cumsum(weight)]),
        loot=np.concatenate([[0.0], np.cumsum(weight * gladly)]),
    )
