"""Plans: read from YAML and JSON, refused with the field that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.core.errors import ConfigError
from k8s.rollout.plan import Plan, load_plan, read_plan
from k8s.rollout.verdict import SERVICE_GATES, SHADOW_GATES


def test_the_default() -> None:
    plan = Plan()
    assert [step.weight for step in plan.steps] == [0, 1, 5, 25, 50, 100]
    required = [plan.required(step) for step in range(len(plan.steps))]
    assert required == [SHADOW_GATES, (), (), (), SERVICE_GATES, ()]
    assert read_plan("") == plan
    assert read_plan(plan.model_dump_json()) == plan


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        """
        steps:
          - {weight: 10, longest_seconds: 7200, when_inconclusive: roll_back}
          - {weight: 60, gates: [errors, recall]}
          - {weight: 100}
        margins:
          recall: {tolerated: 0.02, margin: 0.1, harm: 0.2}
        rates: {false_alarm: 0.001}
        """
    )
    plan = load_plan(path)
    assert (plan.required(0), plan.required(1)) == ((), ("errors", "recall"))
    assert (plan.margins.recall.margin, plan.margins.errors.margin) == (0.1, 2.0)
    with pytest.raises(ConfigError, match="nothing cannot be read"):
        load_plan(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: [{weight: 5}, {weight: 5}]", "weights have to grow from step to step, got 5, 5"),
        ("steps: [{weight: 50}, {weight: 25}]", "got 50, 25: customers never move back"),
        ("steps: [{weight: 5}, {weight: 0}]", "got 5, 0"),
        ("steps: [{weight: 0}]", "there is no step with traffic: add one after the shadow stage"),
        ("steps: []", "steps: "),
        ("steps: [{weight: 101}]", "steps.0.weight: "),
        ("steps: [{weight: 5, shortest_seconds: 9, longest_seconds: 8}]", "shortest_seconds 9 is longer than"),
        ("steps: [{weight: 5, gates: [score_difference]}]", "score_difference needs the pairs of the shadow stage"),
        ("steps: [{weight: 5, gates: [speed]}]", "steps.0.gates.0: "),
        ("stages: []", "stages: Extra inputs are not permitted"),
        ("margins: {errors: {tolerated: 3, margin: 2, harm: 2}}", "margins.errors: tolerated < margin <= harm"),
        ("5", "plan: "),
        ("a: [", "the plan is neither YAML nor JSON"),
    ],
    ids=[
        *("equal weights", "falling weights", "shadow last", "shadow only", "no steps", "too much", "too short"),
        *("pairs without shadow", "unknown gate", "unknown field", "margins", "a number", "no YAML"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_plan(text)
    assert said in str(caught.value)
