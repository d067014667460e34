"""The plan of a rollout: its steps, how long each lasts, and what happens when no verdict comes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bentos.core.errors import ConfigError
from k8s.rollout.margins import Margins, Rates
from k8s.rollout.verdict import SERVICE_GATES, SHADOW_GATES, GateName

__all__ = ["Plan", "Step", "load_plan", "read_plan"]


class Step(BaseModel):
    """A stretch of a rollout in which the challenger's share of traffic stays the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: int = Field(ge=0, le=100, description="Per cent of customers that the challenger answers; 0 is shadow.")
    shortest_seconds: float = Field(default=600, ge=0, description="How long it lasts at least.")
    longest_seconds: float = Field(
        default=86_400, gt=0, description="When it is over without a verdict, `when_inconclusive` is done."
    )
    minimum_requests: float = Field(
        default=1_000, ge=0, description="Requests of the challenger in this step, copies in shadow, at least."
    )
    gates: tuple[GateName, ...] | None = Field(
        default=None,
        description="Gates that have to pass before the step ends. When absent: those without labels, in shadow"
        " and in the last step that leaves the champion some traffic; small weights prove little, and need only that"
        " nothing fails. Any gate that fails, named or not, rolls back.",
    )
    when_inconclusive: Literal["hold", "advance", "roll_back"] = Field(
        default="hold",
        description="What happens after `longest_seconds` when nothing failed and something did not pass: wait on, go"
        " to the next step (from the last one: promote), or roll back.",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.shortest_seconds > self.longest_seconds:
            raise ValueError(
                f"shortest_seconds {self.shortest_seconds:g} is longer than longest_seconds {self.longest_seconds:g}"
            )
        if self.weight and "score_difference" in (self.gates or ()):
            raise ValueError("score_difference needs the pairs of the shadow stage: name it in a step of weight 0")
        return self


def _default_steps() -> tuple[Step, ...]:
    last = Step(weight=100, shortest_seconds=1_800, when_inconclusive="advance")
    return (Step(weight=0, shortest_seconds=1_800), *(Step(weight=weight) for weight in (1, 5, 25, 50)), last)


class Plan(BaseModel):
    """What is wanted of a rollout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: tuple[Step, ...] = Field(
        default_factory=_default_steps,
        min_length=1,
        description="Shadow, weight 0, first or not at all, then growing weights.",
    )
    look_seconds: float = Field(default=10, gt=0, description="Between two looks. Looking often costs no certainty.")
    margins: Margins = Margins()
    rates: Rates = Rates()

    def required(self, step: int) -> tuple[GateName, ...]:
        """Gates that have to pass before a step ends."""
        now = self.steps[step]
        if now.gates is not None:
            return now.gates
        if now.weight == 0:
            return SHADOW_GATES
        compared = max((item.weight for item in self.steps if item.weight < 100), default=0)
        return SERVICE_GATES if now.weight == compared else ()

    @model_validator(mode="after")
    def _growing(self) -> Self:
        weights = [step.weight for step in self.steps]
        if any(later <= earlier for earlier, later in pairwise(weights)):
            shown = ", ".join(map(str, weights))
            raise ValueError(f"weights have to grow from step to step, got {shown}: customers never move back")
        if weights[-1] == 0:
            raise ValueError("there is no step with traffic: add one after the shadow stage, such as weight 5")
        return self


def read_plan(text: str, source: str = "the plan") -> Plan:
    """A plan from YAML or JSON.

    Parameters
    ----------
    source
        Named in errors.

    Raises
    ------
    ConfigError
        Names each wrong field.
    """
    try:
        read: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is neither YAML nor JSON: {error}") from error
    try:
        return Plan.model_validate({} if read is None else read)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'plan'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_url=False, include_input=False)
        )
        raise ConfigError(f"{source} cannot be used: {wrong}") from error


def load_plan(path: Path) -> Plan:
    """A plan from a file of YAML or JSON.

    Raises
    ------
    ConfigError
        When there is none, or it is wrong.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the plan {path} cannot be read: {error}") from error
    return read_plan(text, str(path))
