"""The rules that answer while the model cannot: transparent, few, and never blocking.

They know the feature row and what the training rows were like, whose distributions the artifact holds as bins of a
tenth each. The border of the last bin is what nine of ten training rows stay under; for amounts, which are about
log-normal, three times that is near the 99th percentile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nextafter
from typing import Final

from bentos.core.answers import Decision, ReasonText
from bentos.core.artifact import Artifact
from bentos.core.artifact.distributions import Histogram
from bentos.core.features.definitions import FEATURES

__all__ = ["RULES", "Rule", "RuleAnswer", "RuleBook"]

_FEATURES: Final = {feature.name: feature for feature in FEATURES}
#: Borders where training rows do not differ.
_NO_BORDER: Final = 0.0

Row = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Parameters
    ----------
    name
        Stable; part of the reason's text.
    feature
        What the reason shows.
    condition
        Whether it fires, from a feature row and the usual largest values of the training rows, both by feature.
    text
        Why that is suspicious; follows the feature's own words.
    """

    name: str
    feature: str
    condition: Callable[[Row, Row], bool]
    text: str


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "large_amount",
        "amount",
        lambda row, usual: row["amount"] > max(3 * usual["amount"], 100.0),
        "more than three times what nine of ten transactions stay under",
    ),
    Rule(
        "unusual_amount",
        "amount_deviation",
        lambda row, _: row["amount_deviation"] > 6.0,
        "far from what this customer pays",
    ),
    Rule(
        "many_transactions",
        "customer_transactions_1d",
        lambda row, usual: row["customer_transactions_1d"] > max(3 * usual["customer_transactions_1d"], 10.0),
        "more than three times what nine of ten customers make",
    ),
    Rule(
        "night_and_far",
        "distance_km",
        lambda row, usual: row["is_night"] == 1.0 and row["distance_km"] > max(usual["distance_km"], 300.0),
        "at night, and farther than nine of ten transactions",
    ),
    Rule(
        "fraud_at_merchant",
        "merchant_fraud_rate_30d",
        lambda row, _: row["merchant_fraud_rate_30d"] >= 0.2 and row["merchant_transactions_30d"] >= 10.0,
        "a merchant where much fraud was found",
    ),
)


@dataclass(frozen=True, slots=True)
class RuleAnswer:
    """What the rules say of one row.

    Parameters
    ----------
    decision
        Never "block".
    score
        In the place of the model's; on the decision's side of the thresholds.
    reasons
        One for each rule that fired.
    """

    decision: Decision
    score: float
    reasons: tuple[ReasonText, ...]


class RuleBook:
    """The rules, with what the training rows of a model were like.

    The score that an answer must have is no probability of this transaction. A fired rule gives the review threshold
    itself, so that whoever compares scores with thresholds comes to the same decision; otherwise it is the share of
    fraud among the training rows, which is all that is known then, but below the review threshold.

    Parameters
    ----------
    artifact
        Of the model whose place they take.
    """

    def __init__(self, artifact: Artifact) -> None:
        self._names = tuple(artifact.distributions.features)
        self._usual = {name: _last_border(found) for name, found in artifact.distributions.features.items()}
        review = artifact.thresholds.review
        card = artifact.card
        share = card.frauds / card.rows if card.rows else 0.0
        self._review_score = min(1.0, max(0.0, review))
        self._approve_score = max(0.0, min(share, nextafter(self._review_score, -1.0)))

    def answer(self, values: Sequence[float]) -> RuleAnswer:
        """Apply the rules to a feature row, [21] in the order of the features."""
        row = dict(zip(self._names, values, strict=True))
        fired = [rule for rule in RULES if rule.condition(row, self._usual)]
        if not fired:
            return RuleAnswer("approve", self._approve_score, ())
        return RuleAnswer("review", self._review_score, tuple(_reason(rule, row[rule.feature]) for rule in fired))


def _last_border(histogram: Histogram) -> float:
    return histogram.edges[-1] if histogram.edges else _NO_BORDER


def _reason(rule: Rule, value: float) -> ReasonText:
    words = _FEATURES[rule.feature].reason_text(value)
    # There is no score that a rule could have a share of.
    return ReasonText(
        feature=rule.feature, value=value, contribution=0.0, text=f"rule {rule.name}: {words}; {rule.text}"
    )
