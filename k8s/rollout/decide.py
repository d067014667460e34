"""From verdicts to what is done next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from k8s.rollout.plan import Plan
from k8s.rollout.verdict import GateName, Verdict

__all__ = ["Action", "Decision", "decide"]

Action: TypeAlias = Literal["hold", "advance", "promote", "roll_back"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done next.

    Parameters
    ----------
    action
        Advance is to the next step; promote is from the last one.
    reason
        In words.
    gates
        Those that it is because of.
    """

    action: Action
    reason: str
    gates: tuple[GateName, ...] = ()


def decide(plan: Plan, step: int, elapsed_seconds: float, requests: float, verdicts: Iterable[Verdict]) -> Decision:
    """What is done next.

    Parameters
    ----------
    step
        Index into the plan's steps.
    elapsed_seconds
        Since the step began; time that the rollout was paused does not count.
    requests
        Of the challenger since the step began, copies in shadow.
    verdicts
        Of all gates, over all evidence of the rollout.
    """
    now, by_gate = plan.steps[step], {verdict.gate: verdict for verdict in verdicts}
    failed = tuple(verdict for verdict in by_gate.values() if verdict.outcome == "fail")
    if failed:
        reason = "; ".join(verdict.text for verdict in failed)
        return Decision("roll_back", reason, tuple(verdict.gate for verdict in failed))
    onward: Action = "promote" if step == len(plan.steps) - 1 else "advance"
    if elapsed_seconds < now.shortest_seconds:
        return Decision("hold", f"the step lasts {now.shortest_seconds:g} s at least, {elapsed_seconds:.0f} s are over")
    open_gates = tuple(
        gate for gate in plan.required(step) if gate not in by_gate or by_gate[gate].outcome == "inconclusive"
    )
    missing = [f"{gate}: {by_gate[gate].text}" if gate in by_gate else f"{gate}: no verdict" for gate in open_gates]
    if requests < now.minimum_requests:
        missing.insert(0, f"the challenger had {requests:.0f} of at least {now.minimum_requests:g} requests")
    if not missing:
        passed = ", ".join(plan.required(step))
        return Decision(onward, f"passed: {passed}" if passed else "nothing failed, and time and data are enough")
    still = "; ".join(missing)
    if elapsed_seconds < now.longest_seconds:
        return Decision("hold", still, open_gates)
    over = f"{now.longest_seconds:g} s are over without a verdict ({still}); the plan says"
    actions: dict[str, tuple[Action, str]] = {
        "hold": ("hold", "to wait"),
        "advance": (onward, "to go on"),
        "roll_back": ("roll_back", "to roll back"),
    }
    action, words = actions[now.when_inconclusive]
    return Decision(action, f"{over} {words}", open_gates)
