"""What commands make of a rollout."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from k8s.rollout.carry import Carrier
from k8s.rollout.intents import differences, intended, onward
from k8s.rollout.record import Change, Rollout
from k8s.rollout.state import Command

__all__ = ["obeyed"]


def obeyed(
    rollout: Rollout, commands: Mapping[str, Command], now: datetime, carrier: Carrier
) -> tuple[Rollout, tuple[str, ...]]:
    """The rollout after its commands, and the entries of those that are done with.

    What can only begin between two steps waits until the release is as it is wanted; abort does not, and comes first:
    what else was asked may need a Helm that answers.
    """
    done: list[str] = []
    for entry, command in sorted(commands.items(), key=lambda item: item[1].kind != "abort"):
        if command.rollout != rollout.name or rollout.phase == "rolling_back":
            done.append(entry)
        elif command.kind == "abort":
            rollout = intended(rollout, "roll_back", _reason(command), now, by=command.by, then="aborted")
            done.append(entry)
        elif rollout.intent is None:
            rollout = _between(rollout, command, now, carrier)
            done.append(entry)
    return rollout, tuple(done)


def _between(rollout: Rollout, command: Command, now: datetime, carrier: Carrier) -> Rollout:
    if command.kind == "pause" and rollout.phase == "running":
        paused = {"phase": "paused", "paused_by": "request", "paused_since": now, "reason": _reason(command)}
        return _noted(rollout.model_copy(update=paused), command, now)
    if command.kind == "resume" and rollout.phase == "paused":
        return _resumed(rollout, command, now, carrier)
    if command.kind == "promote" and rollout.step_began is not None and rollout.phase in {"running", "paused"}:
        return intended(_unpaused(rollout, now), "promote", _reason(command), now, by=command.by)
    return _noted(rollout, command, now, ignored=True)


def _resumed(rollout: Rollout, command: Command, now: datetime, carrier: Carrier) -> Rollout:
    if rollout.paused_by != "release":
        return _noted(_unpaused(rollout, now), command, now)
    release = carrier.objects.release
    last = carrier.helm.last_revision(release)
    if last.pending:
        return _noted(rollout, command, now, ignored=True)
    other = differences(rollout, carrier.helm.values(release))
    taken = _unpaused(rollout, now).model_copy(update={"revision": last.number, "troubles": ()})
    if not other and last.status == "deployed":
        return _noted(taken, command, now)
    if rollout.promoting:
        return intended(taken, "promote", _reason(command), now, by=command.by)
    reason = f"{_reason(command)}: the step begins anew"
    if taken.step_began is not None:
        return intended(taken, "step", reason, now, by=command.by)
    kind, step = onward(taken)
    return intended(taken, kind, reason, now, step=step, by=command.by)


def _unpaused(rollout: Rollout, now: datetime) -> Rollout:
    lasted = (now - rollout.paused_since).total_seconds() if rollout.paused_since else 0.0
    return rollout.model_copy(
        update={"phase": "running", "paused_by": "", "paused_since": None}
        | {"paused_seconds": rollout.paused_seconds + lasted}
    )


def _noted(rollout: Rollout, command: Command, now: datetime, *, ignored: bool = False) -> Rollout:
    reason = _reason(command) + (f" (ignored: the rollout is {rollout.phase})" if ignored else "")
    return rollout.changed(
        Change(at=now, phase=rollout.phase, step=rollout.step, weight=rollout.weight, reason=reason, by=command.by)
    )


def _reason(command: Command) -> str:
    return f"{command.kind} by {command.by}" + (f": {command.why}" if command.why else "")
