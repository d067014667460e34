"""How good champion and challenger are on the same transactions, by the labels that came in for pairs.

An alert is a decision to review or to block. Pairs are counted twice: with the alerts that each side gives at its own
thresholds, and with as many alerts for the challenger as the champion gives ("equal" budget): those that the challenger
scores highest among all pairs, labelled or not. A ranking is not better because it cries out more often.

What was blocked has no outcome, so that labels say little of it, unless a share of blocks goes to review
(``FRAUD_BLOCK_REVIEW_SHARE``): of those an outcome is seen, and each stands for 1 / share blocks. Cells tell them
apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Row, and_, case, delete, func, insert, literal, or_, select
from sqlalchemy.sql import ColumnElement

from bentos.fraud.records.tables import LABELS, PREDICTIONS, SHADOW_PAIRS, SHADOW_QUALITY, from_labels

__all__ = [
    "Cell",
    "Cells",
    "Count",
    "PairCollector",
    "PairKey",
    "PairQuality",
    "count_pairs",
    "keep_pairs",
    "kept_pairs",
]

Side: TypeAlias = Literal["champion", "challenger"]
Budget: TypeAlias = Literal["own", "equal"]
#: Whether the champion would block: no; yes, and it was reviewed by chance; yes, and it was blocked.
Blocked: TypeAlias = Literal["no", "sampled", "yes"]
#: Parts of a :class:`Count`, and the gauges that tell them.
_GAUGES: Final = (
    (
        "transactions",
        "pairs",
        "Labelled pairs, by which side gave an alert at the challenger's own thresholds or at an equal budget.",
    ),
    ("weight", "weight", "Transactions that these stand for, where a share of blocks is reviewed."),
    ("amount", "amount", "Sum of their amounts."),
    ("amount_squared", "amount_squared", "Sum of the squares of their amounts."),
)
_BUDGETS: Final[tuple[Budget, ...]] = ("own", "equal")


@dataclass(frozen=True, slots=True, order=True)
class PairKey:
    """The two model versions of pairs."""

    champion_name: str
    champion_version: str
    challenger_name: str
    challenger_version: str


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """Labelled pairs that are alike.

    Parameters
    ----------
    budget
        Whether the challenger's alerts are by its own thresholds, or as many as the champion's.
    label
        What they turned out to be.
    champion_alert, challenger_alert
        Which side gave an alert.
    blocked
        What became of them; see :data:`Blocked`.
    """

    budget: Budget
    label: str
    champion_alert: bool
    challenger_alert: bool
    blocked: Blocked


@dataclass(frozen=True, slots=True)
class Count:
    """How many pairs a cell has.

    Parameters
    ----------
    transactions
        Of them.
    weight
        How many they stand for: 1 / share each where blocks were sampled, otherwise themselves.
    amount, amount_squared
        Sums of their amounts and of the squares of these, for costs and their variance; not weighted.
    """

    transactions: int = 0
    weight: float = 0.0
    amount: float = 0.0
    amount_squared: float = 0.0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.transactions + other.transactions,
            self.weight + other.weight,
            self.amount + other.amount,
            self.amount_squared + other.amount_squared,
        )


Cells: TypeAlias = Mapping[Cell, Count]


@dataclass(frozen=True, slots=True)
class PairQuality:
    """Pairs of two model versions.

    Parameters
    ----------
    pairs, champion_alerts, challenger_alerts
        All of them, labelled or not, and alerts at each one's thresholds.
    cells
        Those that have a label.
    """

    pairs: int
    champion_alerts: int
    challenger_alerts: int
    cells: Cells

    def precision(self, side: Side, budget: Budget) -> float:
        """Share of a side's labelled alerts that are fraud, NaN when there are none."""
        caught = self._weight(side, budget, "fraud")
        return _share(caught, caught + self._weight(side, budget, "legitimate"))

    def recall(self, side: Side, budget: Budget) -> float:
        """Share of the labelled frauds that a side gives an alert for, NaN when there are none."""
        frauds = sum(count.weight for cell, count in self._counting(budget) if cell.label == "fraud")
        return _share(self._weight(side, budget, "fraud"), frauds)

    def _weight(self, side: str, budget: Budget, label: str) -> float:
        return sum(
            count.weight
            for cell, count in self._counting(budget)
            if cell.label == label and getattr(cell, f"{side}_alert")
        )

    def _counting(self, budget: Budget) -> list[tuple[Cell, Count]]:
        """The cells to estimate from: where blocks were sampled, the sample stands for those that were not."""
        sampled = any(cell.blocked == "sampled" for cell in self.cells)
        return [
            (cell, count)
            for cell, count in self.cells.items()
            if cell.budget == budget and not (sampled and cell.blocked == "yes")
        ]


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


class PairCollector(Collector):
    """Labelled pairs as metrics. Every worker tells the same, whichever counted.

    Parameters
    ----------
    known
        Gives what was counted last.
    """

    def __init__(self, known: Callable[[], Mapping[PairKey, Cells]]) -> None:
        self._known = known

    def collect(self) -> Iterator[Metric]:
        """The metrics; none of their series while there are no pairs."""
        labels = (
            *("budget", "label", "champion", "challenger", "blocked"),
            *("challenger_version", "model_name", "model_version", "role"),
        )
        families = {
            part: GaugeMetricFamily(f"fraud_shadow_labelled_{name}", text, labels=labels)
            for part, name, text in _GAUGES
        }
        for key, cells in self._known().items():
            models = (key.challenger_version, key.champion_name, key.champion_version, "champion")
            for cell, count in cells.items():
                alerts = ("alert" if alert else "none" for alert in (cell.champion_alert, cell.challenger_alert))
                values = (cell.budget, cell.label, *alerts, cell.blocked, *models)
                for part, family in families.items():
                    family.add_metric(values, getattr(count, part))
        yield from families.values()


def count_pairs(connection: Connection, since: int, until: int | None = None) -> dict[PairKey, PairQuality]:
    """Join pairs with their labels and count.

    Parameters
    ----------
    connection
        To read from.
    since, until
        When the predictions were made, microseconds since 1970 UTC: from ``since``, to before ``until`` if given.
    """
    pair = SHADOW_PAIRS.c
    within = [pair.created_at >= since, *([] if until is None else [pair.created_at < until])]
    alert = func.sum(case((_alert(PREDICTIONS.c.decision), 1), else_=0))
    challenger_alert = func.sum(case((_alert(pair.decision), 1), else_=0))
    key = (PREDICTIONS.c.model_name, PREDICTIONS.c.model_version, pair.challenger_name, pair.challenger_version)
    totals = select(*key, func.count(), alert, challenger_alert).select_from(_joined()).where(*within).group_by(*key)
    found = {}
    for name, version, challenger_name, challenger_version, pairs, alerts, challenger_alerts in connection.execute(
        totals
    ):
        one = PairKey(name, version, challenger_name, challenger_version)
        cells = _cells(connection, one, within, int(alerts))
        found[one] = PairQuality(pairs, int(alerts), int(challenger_alerts), cells)
    return dict(sorted(found.items()))


def _cells(connection: Connection, key: PairKey, within: list[ColumnElement[bool]], alerts: int) -> dict[Cell, Count]:
    table, pair = PREDICTIONS.c, SHADOW_PAIRS.c
    of_key = [
        table.model_name == key.champion_name,
        table.model_version == key.champion_version,
        pair.challenger_name == key.challenger_name,
        pair.challenger_version == key.challenger_version,
        *within,
    ]
    equal = _among_highest(connection, of_key, alerts)
    blocked = case((table.block_review_share.is_not(None), "sampled"), (table.decision == "block", "yes"), else_="no")
    weight = func.coalesce(1.0 / table.block_review_share, 1.0)
    columns = (LABELS.c.label, _alert(table.decision), _alert(pair.decision), equal, blocked)
    named = [column.label(f"part_{number}") for number, column in enumerate(columns)]
    labelled = (
        select(*named, weight.label("weight"), table.amount, (table.amount * table.amount).label("amount_squared"))
        .select_from(
            LABELS.join(PREDICTIONS, from_labels(connection) == table.transaction_id).join(
                SHADOW_PAIRS, pair.prediction_id == table.id
            )
        )
        .where(LABELS.c.revision > 0, *of_key)
        .subquery()
    )
    parts = [labelled.c[column.name] for column in named]
    counts: dict[Cell, Count] = {}
    sums = (func.sum(labelled.c[name]) for name in ("weight", "amount", "amount_squared"))
    for row in connection.execute(select(*parts, func.count(), *sums).group_by(*parts)):
        label, champion, own, even, kind, transactions, *totals = row
        for budget, challenger in zip(_BUDGETS, (own, even), strict=True):
            cell = Cell(budget, label, bool(champion), bool(challenger), kind)
            counts[cell] = counts.get(cell, Count()) + Count(transactions, *map(float, totals))
    return dict(sorted(counts.items()))


def _among_highest(connection: Connection, of_key: list[ColumnElement[bool]], alerts: int) -> ColumnElement[bool]:
    """Whether a pair is among so many that the challenger scores highest; of equal scores the earlier one is."""
    pair = SHADOW_PAIRS.c
    if not alerts:
        return literal(False)
    last = (
        select(pair.score, pair.prediction_id)
        .select_from(_joined())
        .where(*of_key)
        .order_by(pair.score.desc(), pair.prediction_id)
        .offset(alerts - 1)
        .limit(1)
    )
    score, prediction_id = connection.execute(last).one()
    return or_(pair.score > score, and_(pair.score == score, pair.prediction_id <= prediction_id))


def _joined() -> Any:
    return SHADOW_PAIRS.join(PREDICTIONS, SHADOW_PAIRS.c.prediction_id == PREDICTIONS.c.id)


def _alert(decision: ColumnElement[str]) -> ColumnElement[bool]:
    return decision != "approve"


def keep_pairs(connection: Connection, found: Mapping[PairKey, Cells]) -> None:
    """Keep counts for all workers, within a transaction that writes."""
    connection.execute(delete(SHADOW_QUALITY))
    rows = [
        {
            **{name: getattr(key, name) for name in PairKey.__slots__},
            **{name: getattr(cell, name) for name in Cell.__slots__},
            **{name: getattr(count, name) for name in Count.__slots__},
        }
        for key, cells in found.items()
        for cell, count in cells.items()
    ]
    if rows:
        connection.execute(insert(SHADOW_QUALITY), rows)


def kept_pairs(connection: Connection) -> dict[PairKey, Cells]:
    """The counts that were kept last."""
    return _by_models(connection.execute(select(SHADOW_QUALITY)))


def _by_models(rows: Iterable[Row[Any]]) -> dict[PairKey, Cells]:
    found: dict[PairKey, dict[Cell, Count]] = defaultdict(dict)
    for row in rows:
        key = PairKey(*(getattr(row, name) for name in PairKey.__slots__))
        cell = Cell(*(getattr(row, name) for name in Cell.__slots__))
        found[key][cell] = Count(*(getattr(row, name) for name in Count.__slots__))
    return {key: dict(sorted(cells.items())) for key, cells in sorted(found.items())}
