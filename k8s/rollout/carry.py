"""Does what an intent says, if nobody has done it yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bentos.core.errors import ConfigError, Conflict, NotFound
from k8s.helm import Helm, Revision
from k8s.rollout.intents import differences, fulfilled, values_of
from k8s.rollout.objects import ReleaseObjects, SideName
from k8s.rollout.record import Change, Intent, IntentKind, Rollout

__all__ = ["Carrier"]

#: Whose pods have to be ready before an intent is fulfilled.
_READY: Final[dict[IntentKind, tuple[SideName, ...]]] = {
    "prepare": ("challenger",),
    "step": ("challenger", "champion"),
    "promote": ("champion",),
    "finish": (),
    "roll_back": (),
}
#: Helm makes a revision of this chart in seconds. A pending one of that age was killed.
_STUCK_SECONDS: Final = 90.0
_AGAIN_SECONDS: Final = 15.0


@dataclass
class Carrier:
    """Changes a release, by Helm and in an emergency past it.

    Parameters
    ----------
    helm
        In the release's namespace.
    objects
        Of the release.
    chart
        Folder, package or address of the chart that the release has.
    """

    helm: Helm
    objects: ReleaseObjects
    chart: str
    _failed_at: datetime | None = None

    def carry(self, rollout: Rollout, now: datetime) -> Rollout:
        """Go as far as possible at once; the rollout as it is then."""
        intent = rollout.intent
        if intent is None:
            return rollout
        if intent.kind == "roll_back":
            self.objects.take_away_traffic()
        try:
            last = self.helm.last_revision(self.objects.release)
        except NotFound as error:
            return self.gone(rollout, str(error), now)
        if last.pending:
            return self._pending(rollout, intent, last, now)
        if not _made(intent, last):
            return _overtaken(rollout, intent, last, now) or self._make(rollout, intent, last, now)
        missing = [side for side in _READY[intent.kind] if not self.objects.ready(side)]
        if missing:
            return _troubled(rollout, f"waiting for pods of {' and '.join(missing)}")
        return fulfilled(rollout, intent, last.number, now).model_copy(update={"troubles": ()})

    def _make(self, rollout: Rollout, intent: Intent, last: Revision, now: datetime) -> Rollout:
        emergency = intent.kind == "roll_back"
        if last.number != intent.after_revision and not emergency:
            between = self._between(rollout, intent, last, now)
            if between is not None:
                return between
        if self._failed_at and (now - self._failed_at).total_seconds() < _AGAIN_SECONDS:
            return rollout
        try:
            self.helm.upgrade(
                self.objects.release,
                self.chart,
                values_of(rollout, intent),
                intent.description,
                last.number,
                overrule=emergency,
            )
        except Conflict:
            return rollout  # the next look sees which revision came
        except ConfigError as error:
            self._failed_at = now
            if emergency:
                return _troubled(rollout, f"Helm does not agree yet, and is asked again: {error}")
            return _stopped(rollout, f"{error}; `rollout resume` tries again", now)
        self._failed_at = None
        return rollout

    def _between(self, rollout: Rollout, intent: Intent, last: Revision, now: datetime) -> Rollout | None:
        """After a revision that is not the intent's own; None when it failed to be what is wanted."""
        if not _same(values_of(rollout, intent), self.helm.values(self.objects.release)):
            told = f"revision {last.number} ({last.status}: {last.description}) came in between"
            return _stopped(rollout, f"{told}; `rollout resume` goes on from it", now)
        if last.status == "deployed":
            # What was wanted is there, whoever made it.
            return rollout.model_copy(update={"intent": intent.model_copy(update={"description": last.description})})
        return None

    def _pending(self, rollout: Rollout, intent: Intent, last: Revision, now: datetime) -> Rollout:
        if now.timestamp() - last.updated < _STUCK_SECONDS:
            return _troubled(rollout, f"Helm is at revision {last.number}")
        values = self.helm.values(self.objects.release)
        ours = _same(values_of(rollout, intent), values)
        if intent.kind == "roll_back":
            # What it is to undo may be what was under way; somebody else's upgrade leaves the rollout's values alone.
            named = _same({"scoring": {"rollout": {"name": rollout.name}}}, values)
            ours = ours or (named and bool(differences(rollout, values)))
        if ours and last.number == intent.after_revision + 1:
            # Its Helm was killed with its controller. Only another revision frees the release.
            self.helm.roll_back(self.objects.release, intent.after_revision)
            freed = self.helm.last_revision(self.objects.release)
            return rollout.model_copy(
                update={"intent": intent.model_copy(update={"after_revision": freed.number}), "revision": freed.number}
            )
        told = f"Helm is stuck at revision {last.number} ({last.status}: {last.description})"
        free = f"{told}: free it by `helm rollback {self.objects.release}`"
        if intent.kind == "roll_back":
            return _troubled(rollout, f"{free}; the challenger has no traffic meanwhile")
        return _stopped(rollout, f"{free}, then `rollout resume`", now)

    def gone(self, rollout: Rollout, reason: str, now: datetime) -> Rollout:
        """The end of a rollout whose release is not there any more."""
        change = Change(at=now, phase="aborted", step=rollout.step, weight=0, reason=reason)
        update = {"phase": "aborted", "weight": 0, "stage": "none", "intent": None, "ended": now, "reason": reason}
        return rollout.model_copy(update=update).changed(change)


def _made(intent: Intent, last: Revision) -> bool:
    return last.number > intent.after_revision and last.description == intent.description and last.status == "deployed"


def _same(wanted: Any, values: Any) -> bool:
    """Whether values hold everything that is wanted."""
    if isinstance(wanted, dict):
        return isinstance(values, dict) and all(_same(item, values.get(name)) for name, item in wanted.items())
    return bool(wanted == values)


def _overtaken(rollout: Rollout, intent: Intent, last: Revision, now: datetime) -> Rollout | None:
    """With a revision of the rollout's own whose pods were not ready before it was to be undone; None without one."""
    ours = last.description.startswith(f"rollout {rollout.name} #") and last.description != intent.description
    if not ours or last.number <= rollout.revision:
        return None
    change = Change(
        at=now,
        phase="running",
        step=rollout.step,
        weight=rollout.weight,
        reason="its pods were not ready before the next change",
        revision=last.number,
    )
    after = intent.model_copy(update={"after_revision": last.number})
    return rollout.model_copy(update={"intent": after, "revision": last.number}).changed(change)


def _troubled(rollout: Rollout, trouble: str) -> Rollout:
    return rollout.model_copy(update={"troubles": (trouble,)})


def _stopped(rollout: Rollout, reason: str, now: datetime) -> Rollout:
    """Paused without the intent, which `resume` forms anew."""
    update = {"phase": "paused", "paused_by": "release", "paused_since": now, "intent": None, "reason": reason}
    change = Change(at=now, phase="paused", step=rollout.step, weight=rollout.weight, reason=reason)
    return rollout.model_copy(update={**update, "troubles": (reason,)}).changed(change)
