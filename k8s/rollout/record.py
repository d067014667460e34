"""What is kept of a rollout, in a form that a dashboard reads and a later version still knows.

One rollout is one JSON object, ``Rollout.model_dump_json()``. Its evidence, which is larger, is kept beside it
(:mod:`k8s.rollout.evidence`), and only while it is under way.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from k8s.rollout.plan import Plan
from k8s.rollout.verdict import GateName, Outcome, Verdict

__all__ = [
    "LOOKS",
    "SCHEMA_VERSION",
    "Change",
    "GateReading",
    "Intent",
    "IntentKind",
    "Look",
    "ModelRef",
    "Phase",
    "Rollout",
    "StageName",
]

#: Of the JSON form. Fields that are added keep it; a reader of another number has to be of another version.
SCHEMA_VERSION: Final = 1
#: Looks that are kept of a rollout under way; a kilobyte each.
LOOKS: Final = 160

Phase: TypeAlias = Literal["running", "paused", "promoting", "promoted", "rolling_back", "rolled_back", "aborted"]
StageName: TypeAlias = Literal["none", "shadow", "canary"]
IntentKind: TypeAlias = Literal["prepare", "step", "promote", "finish", "roll_back"]
_ENDED: Final = frozenset({"promoted", "rolled_back", "aborted"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelRef(_Part):
    """A model as the chart knows it; empty fields mean what they mean in its values."""

    repository: str = Field(default="", description="Image.")
    tag: str = Field(default="", description="Tag of the image.")
    artifact: str = Field(default="", description="Path of the artifact on the release's volume.")
    version: str = Field(default="", description="model_version, as its pods count; empty until they have counted.")

    def values(self) -> dict[str, str]:
        """As values of the chart."""
        return {"repository": self.repository, "tag": self.tag, "artifact": self.artifact}

    @property
    def shown(self) -> str:
        """In words: the version, else what it is made of."""
        image = ":".join(part for part in (self.repository, self.tag) if part)
        return self.version or self.artifact or image or "the chart's image"


class GateReading(_Part):
    """What a gate said at a look, without its words."""

    gate: GateName
    outcome: Outcome
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    samples: float = 0.0
    needed: float | None = None

    @classmethod
    def of(cls, verdict: Verdict) -> Self:
        """The numbers of a verdict, three digits of each."""
        numbers: dict[str, Any] = {name: getattr(verdict, name) for name in ("estimate", "low", "high", "needed")}
        rounded = {name: None if value is None else float(f"{value:.4g}") for name, value in numbers.items()}
        return cls(gate=verdict.gate, outcome=verdict.outcome, samples=round(verdict.samples), **rounded)


class Look(_Part):
    """A look at the evidence, and what was decided."""

    at: datetime
    step: int
    weight: int
    action: Literal["hold", "advance", "promote", "roll_back"]
    reason: str
    gates: tuple[GateReading, ...] = ()


class Change(_Part):
    """A change of step, weight or phase: the history that `helm history` tells as well."""

    at: datetime
    phase: Phase
    step: int
    weight: int
    reason: str
    by: str = Field(default="controller", description="Who made it; the name that a command was given with.")
    revision: int | None = Field(default=None, description="Helm's, where one was made.")


class Intent(_Part):
    """What is about to be made of the release; written down before Helm is called.

    Whoever finds it does it if it is not done: a revision whose description is this one's, or whose values are, is it.
    """

    kind: IntentKind
    step: int
    weight: int
    stage: StageName
    description: str = Field(description="Of the Helm revision; no other of this release has the same.")
    after_revision: int = Field(description="The last revision before it.")
    reason: str
    by: str = "controller"
    began: datetime
    then: Phase = Field(description="Phase once it is done.")


class Rollout(_Part):
    """A rollout, under way or ended."""

    schema_version: Literal[1] = Field(description="No default: it is written always.")
    name: str = Field(description="Of this rollout alone; the seed of the order in which buckets move.")
    release: str
    champion: ModelRef
    challenger: ModelRef
    plan: Plan
    phase: Phase = "running"
    step: int = Field(default=0, description="Index into the plan's steps.")
    weight: int = Field(default=0, description="Per cent of customers that the challenger answers now.")
    stage: StageName = "none"
    began: datetime
    step_began: datetime | None = Field(default=None, description="None until its pods are ready.")
    ended: datetime | None = None
    paused_since: datetime | None = None
    paused_seconds: float = Field(default=0.0, description="Within this step, without the pause that still lasts.")
    paused_by: Literal["", "request", "release"] = Field(
        default="", description="release: it was changed by somebody else."
    )
    requests: float = Field(default=0.0, description="Of the challenger in this step; copies in shadow.")
    reason: str = Field(default="", description="Why it is where it is, in words.")
    by: str = Field(default="", description="Who started it.")
    revision: int = Field(default=0, description="The last Helm revision that it knows.")
    intent: Intent | None = None
    intents: int = Field(default=0, description="How many there were.")
    promoting: bool = Field(default=False, description="Whether the champion may have the challenger's model already.")
    changes: tuple[Change, ...] = ()
    looks: tuple[Look, ...] = Field(default=(), description="Thinned: the latest, and of earlier ones a part.")
    verdicts: tuple[Verdict, ...] = Field(default=(), description="The latest, with all their words.")
    troubles: tuple[str, ...] = Field(default=(), description="What is wrong at the moment, such as no Prometheus.")
    looked: datetime | None = Field(default=None, description="When the controller was last here.")
    writes: int = Field(default=0, description="Grows by one with each write: who knows another number is too late.")

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.phase in _ENDED

    def elapsed_seconds(self, now: datetime) -> float:
        """Since the step began, without pauses; 0 before."""
        if self.step_began is None:
            return 0.0
        until = self.paused_since or now
        return max(0.0, (until - self.step_began).total_seconds() - self.paused_seconds)

    def changed(self, change: Change) -> Rollout:
        """With an entry of its history more."""
        return self.model_copy(update={"changes": (*self.changes, change)})

    def seen(self, look: Look) -> Rollout:
        """With a look more; of too many a part is left out."""
        return self.model_copy(update={"looks": _thinned((*self.looks, look), LOOKS)})

    def archived(self) -> Rollout:
        """As kept when it is over: fewer looks."""
        return self.model_copy(update={"looks": _thinned(self.looks, LOOKS // 5), "troubles": ()})


def _thinned(looks: tuple[Look, ...], most: int) -> tuple[Look, ...]:
    """Without every other one of the older half, as often as it takes; those that say something new stay longest."""
    while len(looks) > most:
        half = len(looks) // 2
        older = looks[:half]
        kept = tuple(look for place, look in enumerate(older) if place % 2 == 0 or _news(older, place))
        if len(kept) == half:
            kept = older[::2]
        looks = (*kept, *looks[half:])
    return looks


def _news(looks: tuple[Look, ...], place: int) -> bool:
    before, now = looks[place - 1], looks[place]
    said = [[(gate.gate, gate.outcome) for gate in look.gates] for look in (before, now)]
    return (before.step, before.action) != (now.step, now.action) or said[0] != said[1]
