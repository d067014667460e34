"""From the growth of counters to evidence."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from k8s.rollout.outcomes import Costs
from k8s.rollout.parts import Block, LabelBlock, Outcomes, Pairs, Side
from k8s.rollout.reading import Labels

__all__ = ["Growth", "Place", "block", "bounds", "dropped", "label_block", "versions"]

#: By name and labels, ``name=value`` each.
Growth = Mapping[tuple[str, ...], float]
Role = Literal["champion", "challenger"]

_NO_CALLS: Final = frozenset({"alive", "docs", "health", "metrics", "model", "other", "shadow"})
_FAULT: Final = re.compile(r"5..|INTERNAL|UNAVAILABLE|UNKNOWN|DATA_LOSS")
#: Copies that the challenger was there for and did not score.
_LOST: Final = frozenset({"unavailable", "late", "invalid"})
_FLAGGED: Final = frozenset({"review", "block"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where evidence belongs; see :class:`~k8s.rollout.parts.Block`."""

    number: int
    step: int
    weight: int


def bounds(growth: Growth, name: str) -> tuple[float, ...]:
    """Upper bounds of a histogram's buckets but the last; none when it was not seen."""
    found = {_labels(series).get("le", "+Inf") for series in growth if series[0] == f"{name}_bucket"}
    return tuple(sorted(float(item) for item in found if item != "+Inf"))


def versions(growth: Growth, role: Role) -> tuple[str, ...]:
    """Versions of the models of a side that counted something since, and of a shadow's challenger."""
    found = set()
    for series, value in growth.items():
        labels = _labels(series)
        if value > 0 and labels.get("role") == role and "model_version" in labels:
            found.add(labels["model_version"])
        if value > 0 and role == "challenger" and "challenger_version" in labels:
            found.add(labels["challenger_version"])
    return tuple(sorted(found))


def dropped(growth: Growth, reasons: Iterable[str]) -> float:
    """Copies that gave no pair, for these reasons."""
    wanted = frozenset(reasons)
    return _sum(growth, "fraud_shadow_dropped_total", lambda labels: labels["reason"] in wanted)


def block(
    place: Place, growth: Growth, latency_bounds: tuple[float, ...], score_bounds: tuple[float, ...], version: str = ""
) -> Block:
    """What was counted since the last look.

    Parameters
    ----------
    version
        Of the challenger whose pairs are meant; empty means any.
    """
    champion = _side(growth, "champion", latency_bounds, score_bounds)
    if place.weight:
        challenger = _side(growth, "challenger", latency_bounds, score_bounds)
        return Block(place.number, place.step, place.weight, champion, challenger)
    pairs = _pairs(growth, score_bounds, version)
    lost = dropped(growth, _LOST)
    copies = Side(requests=float(pairs.pairs) + lost, errors=lost)
    return Block(place.number, place.step, 0, champion, copies, pairs)


def label_block(
    place: Place,
    before: Mapping[Labels, float],
    after: Mapping[Labels, float],
    growth: Growth,
    version: str,
    champion: str = "",
) -> LabelBlock | None:
    """Labels of pairs that arrived between two looks; None when there are none.

    The same transactions on both sides, so that it does not matter which labels come sooner. Labels of a canary's
    customers are left out: those of frauds come earlier than others, and the champion's are of a longer past.

    Parameters
    ----------
    version, champion
        Of the challenger, and of the champion that its scores are paired with; empty means any.
    """
    cells = _Cells(before, after, version, champion)
    if not cells.any():
        return None
    # A sample of blocks stands for all of them; without one a label of a blocked payment is as good as another.
    sampled, plain = ("sampled",), ("no",) if cells.sampling < 1 else ("no", "yes")
    both = (*plain, *sampled)
    frauds = [
        [cells.count("fraud", champion, challenger, kinds) for champion, challenger in _FOUR]
        for kinds in (plain, sampled)
    ]
    unseen = {"both": 0.0, "champion": 0.0}
    if cells.sampling == 1:
        name = "fraud_shadow_decisions_total"
        blocked = _sum(growth, name, lambda labels: labels["champion"] == "block")
        unseen["champion"] = _sum(
            growth, name, lambda labels: labels["champion"] == "block" and labels["challenger"] == "approve"
        )
        unseen["both"] = blocked - unseen["champion"]
    decided = _sum(growth, "fraud_shadow_pairs_total", lambda labels: labels["challenger_version"] == version)
    return LabelBlock(
        place.number,
        place.step,
        cells.outcomes("champion", plain, decided, sum(unseen.values())),
        cells.outcomes("challenger", plain, decided, unseen["both"]),
        pairs=sum(cells.weight(label, *alerts, both) for label in ("fraud", "legitimate") for alerts in _FOUR),
        frauds=tuple(frauds[0]),
        sampled=tuple(frauds[1]),
        sampling=cells.sampling,
        unseen=unseen["champion"],
        cost_product=cells.cost_product(both),
    )


#: What decisions cost. Cells do not tell reviews from blocks, so that an alert is a review to both sides alike.
_COSTS: Final = Costs()
_FOUR: Final = (("alert", "alert"), ("alert", "none"), ("none", "alert"), ("none", "none"))


class _Cells:
    """Growth of labelled pairs. A pair that leaves the window makes a cell smaller, which is no negative label."""

    def __init__(
        self, before: Mapping[Labels, float], after: Mapping[Labels, float], version: str, champion: str
    ) -> None:
        self._grown: dict[tuple[str, ...], float] = {}
        for key, value in after.items():
            labels = dict(key)
            if labels["budget"] != "own" or labels["challenger_version"] != version:
                continue
            # An earlier champion's pairs with the same challenger are still in the window.
            if champion and labels["model_version"] != champion:
                continue
            cell = tuple(labels[name] for name in ("__name__", "label", "champion", "challenger", "blocked"))
            self._grown[cell] = self._grown.get(cell, 0.0) + max(0.0, value - before.get(key, 0.0))
        counted, weighed = (self._all(name, "sampled") for name in ("pairs", "weight"))
        self.sampling = round(counted / weighed, 6) if counted and weighed else 1.0

    def any(self) -> bool:
        return any(self._grown.values())

    def count(self, label: str, champion: str, challenger: str, blocked: tuple[str, ...]) -> float:
        return self._of("pairs", label, champion, challenger, blocked)

    def weight(self, label: str, champion: str, challenger: str, blocked: tuple[str, ...]) -> float:
        return self._of("weight", label, champion, challenger, blocked)

    def cost_product(self, blocked: tuple[str, ...]) -> float:
        """Sum over pairs of the product of both sides' weighted costs."""
        return sum(
            self._costs(label, four, kind, tuple(alert == "alert" for alert in four))
            for label in ("fraud", "legitimate")
            for four in _FOUR
            for kind in blocked
        )

    def _costs(self, label: str, four: tuple[str, str], kind: str, alerts: tuple[bool, ...]) -> float:
        """Sum over pairs of a cell of a product of weighted costs, of what is an alert and what is none each."""
        weight = (1 / self.sampling if kind == "sampled" else 1.0) ** len(alerts)
        missed = len(alerts) - sum(alerts)
        if missed and label == "legitimate":
            return 0.0
        name = ("pairs", "amount", "amount_squared")[missed]
        paid = _COSTS.review ** sum(alerts) * _COSTS.missed_share**missed
        return weight * paid * self._of(name, label, *four, (kind,))

    def _cost(self, mine: int, blocked: tuple[str, ...], power: int) -> float:
        """Sum over pairs of a side's weighted cost, or of its square."""
        return sum(
            self._costs(label, four, kind, (four[mine] == "alert",) * power)
            for label in ("fraud", "legitimate")
            for four in _FOUR
            for kind in blocked
        )

    def outcomes(self, side: Role, plain: tuple[str, ...], decided: float, unseen: float) -> Outcomes:
        mine = 0 if side == "champion" else 1
        both = (*plain, "sampled")
        alerts, none = ([four for four in _FOUR if four[mine] == said] for said in ("alert", "none"))

        def squared(label: str) -> float:
            whole = sum(self.weight(label, *four, plain) for four in alerts)
            return whole + sum(self.weight(label, *four, ("sampled",)) for four in alerts) / self.sampling

        return Outcomes(
            decided=decided,
            caught=sum(self.weight("fraud", *four, both) for four in alerts),
            missed=sum(self.weight("fraud", *four, both) for four in none),
            false_alerts=sum(self.weight("legitimate", *four, both) for four in alerts),
            caught_squared=squared("fraud"),
            false_alerts_squared=squared("legitimate"),
            unseen=unseen,
            cost=self._cost(mine, both, 1),
            cost_squared=self._cost(mine, both, 2),
        )

    def _of(self, name: str, label: str, champion: str, challenger: str, blocked: tuple[str, ...]) -> float:
        key = f"fraud_shadow_labelled_{name}", label, champion, challenger
        return sum(self._grown.get((*key, kind), 0.0) for kind in blocked)

    def _all(self, name: str, blocked: str) -> float:
        metric = f"fraud_shadow_labelled_{name}"
        return sum(value for key, value in self._grown.items() if key[0] == metric and key[-1] == blocked)


def _side(growth: Growth, role: Role, latency: tuple[float, ...], scores: tuple[float, ...]) -> Side:
    def mine(labels: Mapping[str, str]) -> bool:
        return labels.get("role") == role

    def calls(labels: Mapping[str, str]) -> bool:
        return mine(labels) and labels["method"] not in _NO_CALLS

    predictions = _sum(growth, "fraud_predictions_total", mine)
    return Side(
        requests=_sum(growth, "fraud_requests_total", calls),
        errors=_sum(
            growth,
            "fraud_requests_total",
            lambda labels: calls(labels) and _FAULT.fullmatch(labels["code"]) is not None,
        ),
        predictions=predictions,
        degraded=_sum(growth, "fraud_degraded_predictions_total", mine),
        flagged=_sum(growth, "fraud_predictions_total", lambda labels: mine(labels) and labels["decision"] in _FLAGGED),
        latency=_buckets(growth, "fraud_prediction_latency_seconds", latency, mine),
        scores=_buckets(growth, "fraud_score", scores, mine),
    )


def _pairs(growth: Growth, scores: tuple[float, ...], version: str) -> Pairs:
    def mine(labels: Mapping[str, str]) -> bool:
        return not version or labels["challenger_version"] == version

    def flagged(champion: bool, challenger: bool) -> float:
        return _sum(
            growth,
            "fraud_shadow_decisions_total",
            lambda labels: (
                mine(labels)
                and (labels["champion"] in _FLAGGED) is champion
                and (labels["challenger"] in _FLAGGED) is challenger
            ),
        )

    def of(name: str, label: str, value: str) -> float:
        return _sum(growth, name, lambda labels: mine(labels) and labels[label] == value)

    def side(name: str) -> tuple[float, ...]:
        return _buckets(growth, "fraud_shadow_score", scores, lambda labels: mine(labels) and labels["side"] == name)

    products = "fraud_shadow_score_products_total"
    return Pairs(
        pairs=_sum(growth, "fraud_shadow_pairs_total", mine),
        flagged_both=flagged(True, True),
        flagged_champion=flagged(True, False),
        flagged_challenger=flagged(False, True),
        champion=of("fraud_shadow_score_sum", "side", "champion"),
        challenger=of("fraud_shadow_score_sum", "side", "challenger"),
        champion_squared=of(products, "product", "champion_squared"),
        product=of(products, "product", "champion_challenger"),
        challenger_squared=of(products, "product", "challenger_squared"),
        champion_scores=side("champion"),
        challenger_scores=side("challenger"),
    )


def _labels(series: tuple[str, ...]) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in series[1:])


def _sum(growth: Growth, name: str, wanted: Callable[[Mapping[str, str]], bool]) -> float:
    return math.fsum(value for series, value in growth.items() if series[0] == name and wanted(_labels(series)))


def _buckets(
    growth: Growth, name: str, edges: tuple[float, ...], wanted: Callable[[Mapping[str, str]], bool]
) -> tuple[float, ...]:
    texts = (*(repr(edge) for edge in edges), "+Inf")
    counts = dict.fromkeys(texts, 0.0)
    seen = False
    for series, value in growth.items():
        labels = _labels(series) if series[0] == f"{name}_bucket" else {}
        if labels and wanted(labels):
            seen = True
            counts[labels["le"]] = counts.get(labels["le"], 0.0) + value
    return tuple(counts.values()) if seen else ()
