"""From verdicts to what is done next."""

from __future__ import annotations

import pytest

from k8s.rollout.decide import decide
from k8s.rollout.plan import Plan, Step
from k8s.rollout.verdict import SERVICE_GATES, GateName, Outcome, Verdict

PLAN = Plan(
    steps=(
        Step(weight=50, shortest_seconds=60, longest_seconds=600, minimum_requests=100),
        Step(weight=100, shortest_seconds=60, minimum_requests=100),
    )
)


def _verdict(gate: GateName, outcome: Outcome) -> Verdict:
    return Verdict(gate, outcome, None, None, None, 1, 2, "", 0, 0, 1, 1, 0, None, "", f"{gate} in words")


def _all(outcome: Outcome, **others: Outcome) -> list[Verdict]:
    return [_verdict(gate, others.get(gate, outcome)) for gate in (*SERVICE_GATES, "recall")]


def test_a_gate_that_fails_rolls_back_at_once() -> None:
    for verdicts in (_all("pass", errors="fail"), _all("inconclusive", recall="fail")):
        found = decide(PLAN, 0, 0.0, 0.0, verdicts)
        assert found.action == "roll_back"
    assert (found.reason, found.gates) == ("recall in words", ("recall",))


def test_all_passed_goes_on_after_the_shortest_time() -> None:
    assert decide(PLAN, 0, 59, 100, _all("pass")).reason == "the step lasts 60 s at least, 59 s are over"
    found = decide(PLAN, 0, 60, 100, _all("pass", recall="inconclusive"))
    assert (found.action, found.reason) == ("advance", "passed: errors, latency, scores, alerts, degraded")


def test_too_few_requests_hold() -> None:
    found = decide(PLAN, 0, 60, 99, _all("pass"))
    assert (found.action, found.gates) == ("hold", ())
    assert found.reason == "the challenger had 99 of at least 100 requests"


def test_a_gate_without_a_verdict_holds() -> None:
    found = decide(PLAN, 0, 60, 100, _all("pass", latency="inconclusive"))
    assert (found.action, found.reason, found.gates) == ("hold", "latency: latency in words", ("latency",))
    missing = decide(PLAN, 0, 60, 100, [item for item in _all("pass") if item.gate != "alerts"])
    assert (missing.action, missing.reason) == ("hold", "alerts: no verdict")


def test_the_last_step_promotes() -> None:
    found = decide(PLAN, 1, 60, 100, _all("inconclusive"))
    assert (found.action, found.reason) == ("promote", "nothing failed, and time and data are enough")


@pytest.mark.parametrize(
    ("wanted", "step", "action"),
    [
        ("hold", 0, "hold"),
        ("advance", 0, "advance"),
        ("roll_back", 0, "roll_back"),
        ("advance", 1, "promote"),
    ],
)
def test_no_verdict_in_the_longest_time(wanted: str, step: int, action: str) -> None:
    shown = PLAN.steps[step].model_copy(
        update={"when_inconclusive": wanted, "gates": ("alerts",), "longest_seconds": 600}
    )
    plan = PLAN.model_copy(update={"steps": (*PLAN.steps[:step], shown, *PLAN.steps[step + 1 :])})
    assert decide(plan, step, 599, 0, _all("inconclusive")).action == "hold"
    found = decide(plan, step, 600, 0, _all("inconclusive"))
    assert found.action == action
    assert "600 s are over without a verdict" in found.reason
