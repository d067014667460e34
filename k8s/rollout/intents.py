"""What is to be made of the release next, and the values of the chart that say so. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from k8s.rollout.record import Change, Intent, IntentKind, Phase, Rollout, StageName

__all__ = ["differences", "fulfilled", "intended", "onward", "values_of"]

_NOBODY: Final = {"repository": "", "tag": "", "artifact": ""}
_DURING: Final[dict[IntentKind, Phase]] = {
    "prepare": "running",
    "step": "running",
    "promote": "promoting",
    "finish": "promoting",
    "roll_back": "rolling_back",
}


def onward(rollout: Rollout) -> tuple[IntentKind, int]:
    """What comes after what is done: the kind of intent, and the step it leads to."""
    if rollout.phase == "promoting":
        return "finish", rollout.step
    if rollout.stage == "none" and rollout.plan.steps[0].weight > 0:
        # A route to a Service without pods would fail requests: they come first.
        return "prepare", 0
    if rollout.stage == "none" or rollout.step_began is None:
        return "step", rollout.step
    last = rollout.step == len(rollout.plan.steps) - 1
    return ("promote", rollout.step) if last else ("step", rollout.step + 1)


def intended(
    rollout: Rollout,
    kind: IntentKind,
    reason: str,
    now: datetime,
    *,
    step: int | None = None,
    by: str = "controller",
    then: Phase | None = None,
) -> Rollout:
    """With an intent, in place of any other."""
    step = rollout.step if step is None else step
    stage, weight = _place(rollout, kind, step)
    number = rollout.intents + 1
    words = {
        "prepare": "challenger's pods",
        "step": f"step {step + 1} of {len(rollout.plan.steps)}, {f'{weight} %' if weight else 'shadow'}",
        "promote": "champion becomes the challenger's model",
        "finish": "promoted",
        "roll_back": "rolled back",
    }[kind]
    ends: dict[IntentKind, Phase] = {"finish": "promoted", "roll_back": "rolled_back"}
    intent = Intent(
        kind=kind,
        step=step,
        weight=weight,
        stage=stage,
        description=f"rollout {rollout.name} #{number}: {words}",
        after_revision=rollout.revision,
        reason=reason,
        by=by,
        began=now,
        then=then or ends.get(kind, _DURING[kind]),
    )
    return rollout.model_copy(
        update={"intent": intent, "intents": number, "phase": _DURING[kind], "reason": reason}
        | {"paused_since": None, "paused_by": "", "promoting": rollout.promoting or kind == "promote"}
    )


def fulfilled(rollout: Rollout, intent: Intent, revision: int, now: datetime) -> Rollout:
    """After the revision was made and its pods are ready."""
    ended = intent.then in {"promoted", "rolled_back", "aborted"}
    moved = intent.kind == "step"
    changes: dict[str, Any] = {
        "intent": None,
        "phase": intent.then,
        "step": intent.step,
        "stage": intent.stage,
        "weight": intent.weight,
        "revision": revision,
        "ended": now if ended else None,
    }
    if moved:
        changes |= {"step_began": now, "paused_seconds": 0.0, "requests": 0.0}
    return rollout.model_copy(update=changes).changed(
        Change(
            at=now,
            phase=intent.then,
            step=intent.step,
            weight=intent.weight,
            reason=intent.reason,
            by=intent.by,
            revision=revision,
        )
    )


def values_of(rollout: Rollout, intent: Intent) -> dict[str, Any]:
    """Values of the chart that an intent sets; what is not named stays."""
    place = {"stage": intent.stage, "weight": intent.weight, "name": rollout.name if intent.stage != "none" else ""}
    scoring: dict[str, Any] = {"rollout": place}
    scoring["challenger"] = _NOBODY if intent.stage == "none" else rollout.challenger.values()
    if intent.kind in {"promote", "finish"}:
        # What the challenger leaves empty it has from the champion, its artifact excepted.
        given, before = rollout.challenger, rollout.champion
        scoring["champion"] = {
            "repository": given.repository or before.repository,
            "tag": given.tag or before.tag,
            "artifact": given.artifact,
        }
    elif intent.kind == "roll_back" and rollout.promoting:
        scoring["champion"] = rollout.champion.values()
    return {"scoring": scoring}


def differences(rollout: Rollout, values: dict[str, Any]) -> list[str]:
    """What a release's values say otherwise than the rollout left them."""
    scoring = values.get("scoring", {})
    wanted: dict[str, Any] = {"rollout.stage": rollout.stage, "rollout.weight": rollout.weight}
    if rollout.stage != "none":
        wanted |= {"rollout.name": rollout.name}
        wanted |= {f"challenger.{name}": value for name, value in rollout.challenger.values().items()}
        if rollout.phase != "promoting":
            wanted |= {f"champion.{name}": value for name, value in rollout.champion.values().items()}
    found = []
    for place, value in wanted.items():
        part, _, name = place.partition(".")
        now = scoring.get(part, {}).get(name, "")
        if now != value:
            found.append(f"scoring.{place} is {now!r} instead of {value!r}")
    return found


def _place(rollout: Rollout, kind: IntentKind, step: int) -> tuple[StageName, int]:
    if kind == "prepare":
        return "canary", 0
    if kind == "promote":
        return rollout.stage, rollout.weight
    if kind in {"finish", "roll_back"}:
        return "none", 0
    weight = rollout.plan.steps[step].weight
    return ("canary", weight) if weight else ("shadow", 0)
