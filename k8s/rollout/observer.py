"""Keeps the evidence of a rollout: what counters grew by from look to look, while the step stays the same."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from bentos.core.errors import DataError, Unavailable
from k8s.rollout.counters import Snapshot, growth
from k8s.rollout.evidence import BLOCK_SECONDS, Evidence
from k8s.rollout.measured import Growth, Place, block, bounds, dropped, label_block, versions
from k8s.rollout.objects import ReleaseObjects
from k8s.rollout.parts import Block
from k8s.rollout.reading import Labels, Prometheus
from k8s.rollout.record import Rollout
from k8s.rollout.spell import Spell

__all__ = ["Observed", "Observer"]

#: Of the champion alone, before the start: how much its counts vary from one to the next.
_PAST_BLOCKS: Final = 72
#: From the beginning of the shadow until scrapes, every 15 s at the rarest, tell of copies with a challenger alone.
SETTLE_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Observed:
    """A look.

    Parameters
    ----------
    evidence
        All of the rollout; None while there never was any.
    requests
        Of the challenger since the last look, copies in shadow.
    champion, challenger
        Versions that counted something since.
    other_schema
        Whether copies were refused because the models know other features.
    troubles
        Why there is no more evidence, in words.
    """

    evidence: Evidence | None
    requests: float = 0.0
    champion: tuple[str, ...] = ()
    challenger: tuple[str, ...] = ()
    other_schema: bool = False
    troubles: tuple[str, ...] = ()


@dataclass
class Observer:
    """Looks at a release's counters; what was seen last is in memory, and a new process begins with a first look.

    Parameters
    ----------
    prometheus
        To read from.
    objects
        Tell when processes began.
    settle_seconds
        How long the shadow is not looked at in the beginning.
    """

    prometheus: Prometheus
    objects: ReleaseObjects
    settle_seconds: float = SETTLE_SECONDS
    _before: Snapshot | None = None
    _labels: Mapping[Labels, float] = field(default_factory=dict)
    _place: tuple[str, int, int] | None = None
    _spell: Spell = field(default_factory=Spell)

    def look(self, rollout: Rollout, evidence: Evidence | None, now: datetime) -> Observed:
        """What was seen since the last look of this step; the first one sees nothing.

        Parameters
        ----------
        evidence
            That there is.
        """
        try:
            after = self.prometheus.counters(self.objects.started())
            labels = self.prometheus.labelled()
        except Unavailable as error:
            return Observed(evidence, troubles=(str(error),))
        troubles = [text for text in (self.prometheus.skew(after.seconds, now.timestamp()),) if text]
        place = rollout.name, rollout.step, rollout.weight
        before, earlier, known = self._before, self._labels, self._place
        if place != known or self._settling(rollout, now):
            before, self._spell = None, Spell()
        if known is None or place[0] != known[0]:
            # Labels of pairs come days later, in whichever step: what came between two steps is not lost.
            self._labels = earlier = labels
        self._before, self._place = after, place
        if not after.values:
            troubles.append(
                f"Prometheus at {self.prometheus.url} knows no counters of release {self.prometheus.release!r} in"
                f" namespace {self.prometheus.namespace!r}: it has to scrape every pod and set both labels"
            )
        if before is None:
            return Observed(evidence, troubles=tuple(troubles))
        grown = growth(before, after)
        if grown is None:
            if after.values:
                troubles.append("what was counted since the last look is unknown, and left out")
            return Observed(evidence, troubles=tuple(troubles))
        grown_labels = earlier, labels
        self._labels = labels or earlier
        seconds = after.seconds - before.seconds
        return self._counted(rollout, evidence, (grown, seconds), grown_labels, now, tuple(troubles))

    def _settling(self, rollout: Rollout, now: datetime) -> bool:
        """Whether what is scraped may still tell of copies for which there was no challenger yet.

        One Helm revision makes the challenger and has the champion send to it; a champion whose image is at hand sends
        while the challenger's is pulled. These copies are lost, and say nothing of the challenger.
        """
        began = rollout.step_began
        return rollout.weight == 0 and began is not None and (now - began).total_seconds() < self.settle_seconds

    def _counted(
        self,
        rollout: Rollout,
        evidence: Evidence | None,
        since: tuple[Growth, float],
        labelled_pairs: tuple[Mapping[Labels, float], Mapping[Labels, float]],
        now: datetime,
        troubles: tuple[str, ...],
    ) -> Observed:
        (grown, seconds), (earlier, labels) = since, labelled_pairs
        edges = bounds(grown, "fraud_prediction_latency_seconds"), bounds(grown, "fraud_score")
        if evidence is None:
            if not all(edges):
                return Observed(None, troubles=(*troubles, "no histogram of latencies and scores is known yet"))
            evidence = self._past(Evidence(*edges), rollout)
        number = int((now - rollout.began).total_seconds() // BLOCK_SECONDS)
        place = Place(number, rollout.step, rollout.weight)
        seen = block(place, grown, evidence.latency_bounds, evidence.score_bounds, rollout.challenger.version)
        try:
            evidence = evidence.seen(self._spell.weighed(seen, seconds, evidence, rollout.plan.margins))
            labelled = label_block(place, earlier, labels, grown, rollout.challenger.version, rollout.champion.version)
            if labelled is not None and earlier:
                evidence = evidence.labelled(labelled)
        except DataError as error:
            troubles = (*troubles, str(error))
        return Observed(
            evidence,
            float(seen.challenger.requests),
            versions(grown, "champion"),
            versions(grown, "challenger"),
            dropped(grown, ("schema",)) > 0,
            troubles,
        )

    def _past(self, evidence: Evidence, rollout: Rollout) -> Evidence:
        """With what the champion did before; without it gates take counts to vary by chance alone."""
        try:
            looks = self.prometheus.past(rollout.began.timestamp(), _PAST_BLOCKS, BLOCK_SECONDS)
        except Unavailable:
            return evidence
        for number, (before, after) in enumerate(itertools.pairwise(looks), 1 - len(looks)):
            grown = growth(before, after)
            if grown is not None:
                seen = block(Place(number, 0, 0), grown, evidence.latency_bounds, evidence.score_bounds)
                evidence = evidence.seen(Block(number, 0, 0, champion=seen.champion))
        return evidence
