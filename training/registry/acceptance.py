"""When a challenger may become champion: a pure rule whose answer carries its numbers."""

from __future__ import annotations

from dataclasses import dataclass

from training.evaluate.intervals import Interval

__all__ = ["AcceptanceRule", "Candidate", "Comparison", "Finding", "Verdict", "judge"]


@dataclass(frozen=True)
class Candidate:
    """What is known of a version. Metrics are those of its own evaluation."""

    version: str
    feature_schema: str
    data_hash: str
    split: str
    average_precision: float
    roc_auc: float
    fraud_share: float
    overfitting: str


@dataclass(frozen=True)
class Comparison:
    """Challenger and champion on the same held-out rows: those of the challenger's evaluation.

    Parameters
    ----------
    challenger_rows, champion_rows
        Digests of the rows each was scored on; the rule refuses when they differ.
    rows, frauds
        How many.
    average_precision
        Paired interval of challenger minus champion.
    brier
        Paired interval of challenger minus champion; smaller is better.
    calibration_error
        (challenger, champion).
    """

    challenger_rows: str
    champion_rows: str
    rows: int
    frauds: int
    average_precision: Interval
    brier: Interval
    calibration_error: tuple[float, float]


@dataclass(frozen=True)
class AcceptanceRule:
    """Margins of the rule.

    Parameters
    ----------
    average_precision_margin
        How far the lower end of the interval of the difference may lie below 0. Demanding 0 would refuse every
        second retraining of an equally good model.
    brier_margin
        How far the *upper* end of the difference may lie above 0, as a share of the Brier score of always
        promising the share of fraud.
    calibration_margin
        How much larger the calibration error may be.
    first_roc_auc, first_lift
        Floors for the first champion: ROC AUC, and average precision over the share of fraud (which is what
        chance reaches).
    """

    average_precision_margin: float = 0.02
    brier_margin: float = 0.05
    calibration_margin: float = 0.01
    first_roc_auc: float = 0.75
    first_lift: float = 3.0


@dataclass(frozen=True)
class Finding:
    """One condition with its numbers in words."""

    name: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Verdict:
    """Accepted only when every finding passed."""

    findings: tuple[Finding, ...]

    @property
    def accepted(self) -> bool:
        return all(item.passed for item in self.findings)

    @property
    def reasons(self) -> str:
        """What failed, in one line; empty when nothing did."""
        return "; ".join(f"{item.name}: {item.text}" for item in self.findings if not item.passed)


def judge(
    challenger: Candidate,
    champion: Candidate | None,
    comparison: Comparison | None,
    *,
    served_schema: str,
    rule: AcceptanceRule | None = None,
) -> Verdict:
    """Decide whether the challenger may replace the champion, or become the first.

    The champion must exist together with a comparison. Every condition is looked at, so that the answer names all
    that is wrong at once.

    Parameters
    ----------
    served_schema
        Feature schema of this code; a model of another one cannot be served.
    """
    limits = rule or AcceptanceRule()
    findings = [
        Finding(
            "feature schema",
            challenger.feature_schema == served_schema,
            f"version {challenger.version} was made for {challenger.feature_schema}, this code serves {served_schema}",
        ),
        Finding(
            "overfitting",
            challenger.overfitting != "fail",
            f"the check of train against test says {challenger.overfitting}",
        ),
    ]
    if champion is None:
        findings += _floor(challenger, limits)
    else:
        findings += _against(champion, comparison, limits)
    return Verdict(tuple(findings))


def _floor(challenger: Candidate, limits: AcceptanceRule) -> list[Finding]:
    lift = challenger.average_precision / challenger.fraud_share if challenger.fraud_share else 0.0
    return [
        Finding(
            "first champion, ROC AUC",
            challenger.roc_auc >= limits.first_roc_auc,
            f"{challenger.roc_auc:.3f}, at least {limits.first_roc_auc:.2f} is needed",
        ),
        Finding(
            "first champion, average precision",
            lift >= limits.first_lift,
            f"{challenger.average_precision:.3f} is {lift:.1f} times the {challenger.fraud_share:.2%} that chance"
            f" reaches, at least {limits.first_lift:g} times is needed",
        ),
    ]


def _against(champion: Candidate, comparison: Comparison | None, limits: AcceptanceRule) -> list[Finding]:
    if comparison is None:
        return [Finding("comparison", False, f"version {champion.version} was not scored on the same rows")]
    same = comparison.challenger_rows == comparison.champion_rows
    precision, brier = comparison.average_precision, comparison.brier
    share = comparison.frauds / comparison.rows
    allowed = limits.brier_margin * share * (1 - share)
    ours, theirs = comparison.calibration_error
    return [
        Finding(
            "same held-out rows",
            same,
            f"{comparison.rows:,} rows with {comparison.frauds:,} frauds, digests"
            f" {comparison.challenger_rows[:12]} and {comparison.champion_rows[:12]}",
        ),
        Finding(
            "average precision",
            same and precision.low >= -limits.average_precision_margin,
            f"challenger minus champion {precision.mean:+.4f}, {precision.confidence:.0%} interval"
            f" {precision.low:+.4f} to {precision.high:+.4f}; its lower end may not lie under"
            f" {-limits.average_precision_margin:+.3f} ({precision.method})",
        ),
        Finding(
            "Brier score",
            same and brier.high <= allowed,
            f"challenger minus champion {brier.mean:+.5f}, {brier.confidence:.0%} interval {brier.low:+.5f} to"
            f" {brier.high:+.5f}; its upper end may not lie over {allowed:+.5f},"
            f" {limits.brier_margin:.0%} of what promising the share of fraud scores",
        ),
        Finding(
            "calibration",
            same and ours <= theirs + limits.calibration_margin,
            f"calibration error {ours:.4f} against {theirs:.4f}, at most {limits.calibration_margin:.3f} more allowed",
        ),
    ]
