"""A release from alias to alias. What is done is seen from registry, image store and cluster, never remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bentos.core.errors import Conflict
from k8s.cluster import Cluster
from k8s.helm import Helm
from k8s.release.attempts import NOTED, latest, mark, next_name, version_of
from k8s.release.following import follow
from k8s.release.image import ImageMaker
from k8s.release.notes import Notes
from k8s.release.refusals import NoChallenger, accepted, fit_challenger
from k8s.release.registry import ModelVersion, Registry
from k8s.rollout.objects import ReleaseObjects
from k8s.rollout.plan import Plan
from k8s.rollout.record import ModelRef, Rollout
from k8s.rollout.start import begin
from k8s.rollout.state import Stored, find, who

__all__ = ["Outcome", "Releaser", "Result"]

#: How a call ended: as the rollout did, or under way, or there was nothing to do, or it was only said.
Result: TypeAlias = Literal["promoted", "rolled_back", "aborted", "running", "nothing", "planned"]


@dataclass(frozen=True)
class Outcome:
    """What became of a call.

    Parameters
    ----------
    result
        How it ended.
    version
        Number of the model version; empty when there was none.
    rollout
        Its name; empty when there was none.
    reason
        In words.
    verdicts
        Where they are to be read.
    """

    result: Result
    version: str = ""
    rollout: str = ""
    reason: str = ""
    verdicts: str = ""


@dataclass(frozen=True)
class Releaser:
    """Releases challengers of a registry into one release of the chart.

    Parameters
    ----------
    registry, notes
        Of the versions.
    cluster, helm, release
        Where to.
    plan
        Of the rollout.
    tell
        Gets each step in words.
    """

    registry: Registry
    notes: Notes
    cluster: Cluster
    helm: Helm
    release: str
    plan: Plan
    tell: Callable[[str], None]

    def finish(self) -> Outcome:
        """Note the rollouts that have ended; says what is under way."""
        stored = find(self.cluster, self.release)
        last = Outcome("nothing", reason="no rollout of a model version has ended since")
        rollouts = latest(stored.all if stored else ())
        promoted = [rollout for _, rollout in rollouts if rollout.phase == "promoted"]
        for number, rollout in rollouts:
            if not rollout.over:
                last = self._outcome(rollout, number, "running")
                continue
            version = self.registry.find(number)
            # One that was deleted meanwhile has nobody to tell.
            if version is not None and version.tags.get(NOTED) != mark(rollout):
                last = self._end(version, rollout, replaced=rollout in promoted[:-1])
        return last

    def run(self, maker: Callable[[], ImageMaker], *, wait: bool = True, none_is_fine: bool = False) -> Outcome:
        """Bring the challenger to its end, from wherever it is.

        Parameters
        ----------
        maker
            Of its image; called when one is needed.
        wait
            Whether to stay until the rollout has ended.
        none_is_fine
            Whether it is no error that nobody is challenger.

        Raises
        ------
        RegistryError
            There is no challenger, or it may not be released.
        Conflict
            Another rollout is under way.
        ConfigError, NotFound
            A step fails.
        """
        # Before anything is built for a release that is not there.
        ReleaseObjects(self.cluster, self.release).prefix()
        before = self.finish()
        stored = find(self.cluster, self.release)
        current = stored.current if stored else None
        if current is not None and not current.over:
            number = version_of(current)
            if number is None:
                raise Conflict(
                    f"the rollout {current.name!r} of release {self.release!r} is {current.phase}, and no release began"
                    " it: wait for its end, or `python -m k8s rollout abort`"
                )
            self.tell(f"the rollout {current.name} of version {number} is under way")
            rollout = current
        else:
            try:
                version, champion = fit_challenger(self.registry)
            except NoChallenger as error:
                if before.result != "nothing":
                    return before
                if none_is_fine:
                    return Outcome("nothing", reason=str(error))
                raise
            rollout = self._begin(version, champion, maker(), stored)
        number = version_of(rollout) or ""
        if not wait:
            return self._outcome(rollout, number, "running")
        ended = follow(self.cluster, rollout, self.tell)
        return self._end(self.registry.version(number), ended)

    def planned(self, maker: Callable[[], ImageMaker]) -> Outcome:
        """Say what :meth:`run` would do, and change nothing.

        Raises
        ------
        RegistryError, ConfigError
            As it would.
        """
        ReleaseObjects(self.cluster, self.release).prefix()
        stored = find(self.cluster, self.release)
        for number, rollout in latest(stored.all if stored else ()):
            if not rollout.over:
                self.tell(f"would follow the rollout {rollout.name} of version {number}, then note its end")
                return self._outcome(rollout, number, "planned")
            known = self.registry.find(number)
            if known is not None and known.tags.get(NOTED) != mark(rollout):
                self.tell(f"would note that version {number} was {rollout.phase.replace('_', ' ')}")
        version, champion = fit_challenger(self.registry)
        self.tell(f"version {version.number} is challenger, {champion.number if champion else 'none'} champion")
        self.tell(f"the acceptance rule: {accepted(version, note=False)}")
        made = maker()
        self.tell(f"its image {made.repository}:{made.tag(version)} is: {made.find(version)}")
        name = next_name(version.number, stored.all if stored else ())
        steps = ", ".join(f"{step.weight} %" if step.weight else "shadow" for step in self.plan.steps)
        self.tell(f"would begin the rollout {name} of {self.release}: {steps}")
        return Outcome("planned", version.number, name)

    def _begin(
        self, version: ModelVersion, champion: ModelVersion | None, maker: ImageMaker, stored: Stored | None
    ) -> Rollout:
        after = f"champion is version {champion.number}" if champion else "the first"
        self.tell(f"version {version.number} is challenger, {after}")
        self.tell(f"the acceptance rule: {accepted(version)}")
        image = f"{maker.repository}:{maker.tag(version)}"
        self.tell(f"image {image}: {maker.make(version)}")
        name = next_name(version.number, stored.all if stored else ())
        challenger = ModelRef(repository=maker.repository, tag=maker.tag(version))
        created = begin(self.cluster, self.helm, self.release, challenger, self.plan, who(), name)
        assert created.current is not None  # noqa: S101 - it was created
        self.tell(f"the rollout {name} of {self.release} has begun; the controller carries it out")
        self.notes.began(version, created.current, image)
        return created.current

    def _end(self, version: ModelVersion, rollout: Rollout, *, replaced: bool = False) -> Outcome:
        self.notes.ended(version, rollout, replaced=replaced)
        told = "is champion" if rollout.phase == "promoted" and not replaced else "is no challenger any more"
        words = rollout.phase.replace("_", " ")
        self.tell(f"version {version.number} was {words} and {told}: {rollout.reason}")
        return self._outcome(rollout, version.number, rollout.phase)  # type: ignore[arg-type] # it is over

    def _outcome(self, rollout: Rollout, number: str, result: Result) -> Outcome:
        return Outcome(result, number, rollout.name, rollout.reason, self.notes.link(rollout))
