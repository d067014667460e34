"""The reconcile loop: one look at a rollout, and what follows from it.

Whatever is to be done is written down before it is done, and found done or not by what the cluster and Helm say. So a
controller may be killed anywhere; the next one goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from bentos.core.errors import FraudError, NotFound
from k8s.rollout.carry import Carrier
from k8s.rollout.decide import Decision, decide
from k8s.rollout.evidence import Evidence
from k8s.rollout.gates import judge
from k8s.rollout.intents import differences, intended, onward
from k8s.rollout.obey import obeyed
from k8s.rollout.objects import ReleaseObjects, SideName
from k8s.rollout.observer import Observed, Observer
from k8s.rollout.record import Change, GateReading, Look, Rollout
from k8s.rollout.state import ApiServer, Stored, find, replace
from k8s.rollout.telemetry import Telemetry
from k8s.rollout.troubles import pod_troubles

__all__ = ["Controller", "Keeper"]

_LOG: Final = logging.getLogger(__name__)


def _clock() -> datetime:
    return datetime.now(UTC)


class Keeper(Protocol):
    """Takes states of rollouts, at once, and whatever happens."""

    def put(self, rollout: Rollout) -> None:
        """Keep a state, if it is a later one than the last."""
        ...


@dataclass
class Controller:
    """Moves a release's rollout on.

    Parameters
    ----------
    cluster
        And namespace.
    objects, carrier, observer
        The release's objects, what changes it, what looks at it.
    telemetry
        Where weight and verdicts are shown.
    unready_seconds
        How long a pod of the challenger may not be ready.
    clock
        Now, with a time zone.
    records
        Where states are kept beside the ConfigMap; None means nowhere.
    """

    cluster: ApiServer
    objects: ReleaseObjects
    carrier: Carrier
    observer: Observer
    telemetry: Telemetry
    unready_seconds: float = 240.0
    clock: Callable[[], datetime] = _clock
    records: Keeper | None = None

    def tick(self) -> Rollout | None:
        """Do what is due; the rollout, None when there never was one.

        Raises
        ------
        FraudError
            Cluster or Helm do not answer, or another controller writes. The next call tries again.
        """
        stored = find(self.cluster, self.objects.release)
        if stored is None or stored.current is None:
            return None
        self.telemetry.show(stored.current)
        # Those too that ended, or were written, while there was no controller or no database.
        self._keep(*stored.all)
        if stored.current.over:
            return stored.current
        stored = self._obey(stored)
        if _current(stored).over:
            return stored.current
        stored = self._watch_pods(stored)
        rollout = _current(stored)
        if rollout.intent is not None:
            carried = self.carrier.carry(rollout, self.clock())
            stored = self._save(stored, carried) if carried != rollout else stored
        elif rollout.phase != "paused" and (rollout.phase == "promoting" or rollout.step_began is None):
            kind, step = onward(rollout)
            stored = self._save(stored, intended(rollout, kind, rollout.reason, self.clock(), step=step))
        elif self._due(rollout):
            stored = self._look(stored)
        self.telemetry.show(_current(stored))
        return stored.current

    def _due(self, rollout: Rollout) -> bool:
        passed = (self.clock() - rollout.looked).total_seconds() if rollout.looked else float("inf")
        return passed >= rollout.plan.look_seconds or passed < 0

    def _obey(self, stored: Stored) -> Stored:
        try:
            rollout, done = obeyed(_current(stored), stored.commands, self.clock(), self.carrier)
        except NotFound as error:
            return self._gone(stored, error)
        return self._save(stored, rollout, entries=done) if done else stored

    def _gone(self, stored: Stored, error: NotFound) -> Stored:
        return self._save(stored, self.carrier.gone(_current(stored), str(error), self.clock()))

    def _watch_pods(self, stored: Stored) -> Stored:
        """Roll back at once when the challenger's pods cannot run."""
        rollout = _current(stored)
        side = _watched(rollout)
        if side is None:
            return stored
        found = pod_troubles(self.objects.pods(side), self.clock(), self.unready_seconds)
        if not found:
            return stored
        return self._save(stored, intended(rollout, "roll_back", f"the {side}'s {'; '.join(found)}", self.clock()))

    def _look(self, stored: Stored) -> Stored:
        now, rollout = self.clock(), _current(stored)
        try:
            foreign = self._foreign(rollout)
        except NotFound as error:
            return self._gone(stored, error)
        if foreign:
            return self._paused(stored, foreign) if rollout.paused_by != "release" else self._seen(stored, (foreign,))
        if rollout.paused_by == "release":
            return self._seen(stored, rollout.troubles)
        evidence = Evidence.from_json(stored.evidence) if stored.evidence else None
        observed = self.observer.look(rollout, evidence, now)
        odd = _odd(rollout, observed)
        if odd:
            return self._paused(stored, odd)
        return self._decided(stored, _versioned(rollout, observed), observed, now)

    def _decided(self, stored: Stored, rollout: Rollout, observed: Observed, now: datetime) -> Stored:
        evidence, requests = observed.evidence, rollout.requests + observed.requests
        verdicts = judge(evidence, rollout.plan.margins, rollout.plan.rates) if evidence else ()
        decision = decide(rollout.plan, rollout.step, rollout.elapsed_seconds(now), requests, verdicts)
        if rollout.phase == "paused" and decision.action != "roll_back":
            decision = Decision("hold", rollout.reason)
        readings = tuple(GateReading.of(verdict) for verdict in verdicts)
        look = Look(
            at=now,
            step=rollout.step,
            weight=rollout.weight,
            action=decision.action,
            reason=decision.reason,
            gates=readings,
        )
        rollout = rollout.seen(look).model_copy(
            update={
                "verdicts": verdicts,
                "requests": requests,
                "reason": decision.reason,
                "troubles": observed.troubles,
                "looked": now,
            }
        )
        if decision.action == "roll_back":
            rollout = intended(rollout, "roll_back", decision.reason, now)
        elif decision.action != "hold":
            kind, step = onward(rollout)
            rollout = intended(rollout, kind, decision.reason, now, step=step)
        text = evidence.to_json() if evidence is not None else None
        return self._save(stored, rollout, evidence=text)

    def _foreign(self, rollout: Rollout) -> str:
        """What somebody else made of the release, in words; empty when nothing."""
        last = self.carrier.helm.last_revision(self.objects.release)
        if last.number == rollout.revision and last.status == "deployed":
            return ""
        told = f"revision {last.number} of the release ({last.status}: {last.description}) is not this rollout's"
        if last.pending:
            return f"{told}: wait until Helm has ended, or free it by `helm rollback`, then `rollout resume`"
        other = differences(rollout, self.carrier.helm.values(self.objects.release))
        said = f"{'; '.join(other)}: `rollout resume` sets it back" if other else "`rollout resume` goes on from it"
        return f"{told}; {said}"

    def _paused(self, stored: Stored, reason: str) -> Stored:
        now, rollout = self.clock(), _current(stored)
        changed = rollout.model_copy(
            update={"phase": "paused", "paused_by": "release", "paused_since": rollout.paused_since or now}
            | {"reason": reason, "looked": now, "troubles": (reason,)}
        )
        change = Change(at=now, phase="paused", step=rollout.step, weight=rollout.weight, reason=reason)
        return self._save(stored, changed.changed(change))

    def _seen(self, stored: Stored, troubles: tuple[str, ...]) -> Stored:
        seen = _current(stored).model_copy(update={"looked": self.clock(), "troubles": troubles})
        return self._save(stored, seen)

    def _save(
        self, stored: Stored, rollout: Rollout, evidence: str | None = None, entries: tuple[str, ...] = ()
    ) -> Stored:
        before = _current(stored)
        saved = replace(self.cluster, stored, rollout, evidence, entries)
        # What is stored of one that has ended has fewer looks.
        self._keep(_current(saved).model_copy(update={"looks": rollout.looks}))
        for change in rollout.changes[len(before.changes) :]:
            self._tell(rollout, change)
        if rollout.phase == "rolling_back" and before.phase != "rolling_back":
            self._tell_event("RolloutRollingBack", f"rollout {rollout.name}: {rollout.reason}", warning=True)
        return saved

    def _keep(self, *rollouts: Rollout) -> None:
        if self.records is not None:
            for rollout in rollouts:
                self.records.put(rollout)

    def _tell(self, rollout: Rollout, change: Change) -> None:
        words = change.phase.title().replace("_", "")
        text = f"rollout {rollout.name}, step {change.step + 1}, {change.weight} %: {change.reason} ({change.by})"
        self._tell_event(f"Rollout{words}", text, warning=change.phase in {"rolled_back", "aborted", "paused"})

    def _tell_event(self, reason: str, text: str, *, warning: bool) -> None:
        _LOG.info("%s: %s", reason, text)
        try:
            self.objects.event(reason, text, warning=warning)
        except FraudError as error:
            _LOG.warning("no event of Kubernetes could be written: %s", error)


def _current(stored: Stored) -> Rollout:
    assert stored.current is not None  # noqa: S101 - looked at before
    return stored.current


def _watched(rollout: Rollout) -> SideName | None:
    """Whose pods decide at the moment; None when no pods do."""
    if rollout.phase in {"running", "paused"} and (rollout.stage != "none" or rollout.intent is not None):
        return "challenger"
    return "champion" if rollout.intent is not None and rollout.intent.kind == "promote" else None


def _versioned(rollout: Rollout, observed: Observed) -> Rollout:
    """With the versions that pods turned out to have."""
    found = {}
    for side, seen in (("champion", observed.champion), ("challenger", observed.challenger)):
        model = getattr(rollout, side)
        if not model.version and len(seen) == 1:
            found[side] = model.model_copy(update={"version": seen[0]})
    return rollout.model_copy(update=found)


def _odd(rollout: Rollout, observed: Observed) -> str:
    """What makes the two sides not comparable, in words."""
    if observed.other_schema and rollout.stage == "shadow":
        return (
            "the challenger was made for other features than the champion, so there are no pairs: abort, and start"
            " with a plan without the shadow stage"
        )
    for side, seen in (("champion", observed.champion), ("challenger", observed.challenger)):
        known = getattr(rollout, side).version
        others = [version for version in seen if known and version != known]
        if others or len(seen) > 1:
            return f"pods of the {side} count as version {', '.join(seen)}, and it was {known or 'to be one'}: abort"
    both = set(observed.champion) & set(observed.challenger)
    if both:
        return f"champion and challenger are both of version {both.pop()}: there is nothing to compare, abort"
    return ""
