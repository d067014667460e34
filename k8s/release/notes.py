"""What the registry is told of a rollout's end: tags with the version, and the aliases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from k8s.release.attempts import NOTED, mark
from k8s.release.registry import ModelVersion, Registry
from k8s.rollout.record import Rollout
from k8s.rollout.state import who

__all__ = ["Notes"]


@dataclass(frozen=True)
class Notes:
    """Writes ends of rollouts down. Each step may be repeated; whoever is killed between two is followed by the next.

    Parameters
    ----------
    registry
        Of the versions.
    namespace
        Of the release.
    verdicts_url
        Put before the rollout's name, to be the link to its verdicts; empty means the place in the cluster.
    """

    registry: Registry
    namespace: str
    verdicts_url: str = ""

    def began(self, version: ModelVersion, rollout: Rollout, image: str) -> None:
        """Note that a version is on its way."""
        tags = {"result": "running", "verdicts": self.link(rollout), "reason": rollout.reason, "image": image}
        self.registry.note(version, {"fraud.rollout": rollout.name, **_named(tags)})

    def ended(self, version: ModelVersion, rollout: Rollout, *, replaced: bool = False) -> None:
        """Note how it ended; a promoted version becomes champion, and nobody is its challenger any more.

        Parameters
        ----------
        replaced
            Whether another was promoted since, which stays champion.
        """
        at = (rollout.ended or datetime.now(UTC)).isoformat(timespec="seconds")
        tags = {
            "result": rollout.phase,
            "verdicts": self.link(rollout),
            "reason": rollout.reason,
            "ended_at": at,
            "revision": str(rollout.revision),
        }
        self.registry.note(version, {"fraud.rollout": rollout.name, **_named(tags)})
        if rollout.phase == "promoted" and not replaced:
            self._promote(version, rollout, at)
        self.registry.dismiss_challenger(version)
        self.registry.note(version, {NOTED: mark(rollout)})

    def link(self, rollout: Rollout) -> str:
        """Where its verdicts are to be read."""
        if self.verdicts_url:
            return f"{self.verdicts_url}{rollout.name}"
        return (
            f"python -m k8s rollout history --namespace {self.namespace} --release {rollout.release}"
            f" (rollout {rollout.name}, revision {rollout.revision})"
        )

    def _promote(self, version: ModelVersion, rollout: Rollout, at: str) -> None:
        before = self.registry.champion()
        if before is not None and before.number == version.number:
            return
        # As `python -m training promote` notes it.
        tags = {
            "fraud.promoted_at": at,
            "fraud.promoted_by": who(),
            "fraud.promotion_reason": f"rollout {rollout.name} of {rollout.release}: {rollout.reason}",
            "fraud.promotion_forced": "false",
        }
        self.registry.note(version, tags)
        if before is not None:
            self.registry.note(before, {"fraud.replaced_at": at, "fraud.replaced_by": version.number})
        self.registry.make_champion(version)


def _named(tags: dict[str, str]) -> dict[str, str]:
    return {f"fraud.rollout_{name}": value for name, value in tags.items()}
