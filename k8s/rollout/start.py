"""How a rollout begins."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from bentos.core.errors import ConfigError
from k8s.helm import Helm
from k8s.rollout.objects import ReleaseObjects
from k8s.rollout.plan import Plan
from k8s.rollout.record import Change, ModelRef, Rollout
from k8s.rollout.state import ApiServer, Stored, create, find

__all__ = ["begin"]

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def begin(
    cluster: ApiServer, helm: Helm, release: str, challenger: ModelRef, plan: Plan, by: str, name: str | None = None
) -> Stored:
    """Store a rollout that the controller will carry out.

    Parameters
    ----------
    name
        Seed of the order of the buckets; None makes one from the time.

    Raises
    ------
    ConfigError
        The release cannot have a rollout now, or the challenger is its champion.
    Conflict
        Another rollout is under way.
    """
    now = datetime.now(UTC)
    name = name or f"{now:%Y%m%d-%H%M%S}"
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"a rollout's name has 1 to 63 small letters, digits and dashes, got {name!r}")
    prefix = ReleaseObjects(cluster, release).prefix()
    before = find(cluster, release)
    if before is not None and any(item.name == name for item in before.all):
        raise ConfigError(f"there was a rollout {name!r} already: another name moves other customers first")
    last = helm.last_revision(release)
    if last.status != "deployed":
        raise ConfigError(
            f"revision {last.number} of release {release!r} is {last.status} ({last.description}): mend the release"
            " first, by `helm rollback` or an upgrade"
        )
    scoring = helm.values(release)["scoring"]
    champion = _champion(scoring, release)
    _require_another(champion, challenger)
    if scoring["expose"]["kind"] != "gateway" and plan.steps[-1].weight == 100:
        raise ConfigError(
            f"release {release!r} has no gateway, so that pods split its traffic, and at 100 % the champion would have"
            " none to go back to: give a --plan whose last weight is below 100 (promotion gives the champion the"
            " model), or set scoring.expose.kind=gateway"
        )
    change = Change(at=now, phase="running", step=0, weight=0, reason="started", by=by, revision=last.number)
    rollout = Rollout(
        schema_version=1,
        name=name,
        release=release,
        champion=champion,
        challenger=challenger,
        plan=plan,
        began=now,
        reason="started",
        by=by,
        revision=last.number,
        changes=(change,),
    )
    return create(cluster, f"{prefix}-rollout", rollout, before)


def _champion(scoring: dict[str, Any], release: str) -> ModelRef:
    stage = scoring["rollout"]["stage"]
    if stage != "none":
        raise ConfigError(
            f"release {release!r} has scoring.rollout.stage={stage} already, set by hand: set it to none first"
        )
    return ModelRef(**{part: scoring["champion"][part] for part in ("repository", "tag", "artifact")})


def _require_another(champion: ModelRef, challenger: ModelRef) -> None:
    given = challenger.values()
    if not any(given.values()):
        raise ConfigError("no challenger is named: give --tag, --repository or --artifact")
    # What the challenger leaves empty it has from the champion, its artifact excepted.
    own = {name: given[name] or getattr(champion, name) for name in ("repository", "tag")}
    if {**own, "artifact": given["artifact"]} == champion.values():
        raise ConfigError(f"the challenger {challenger.shown} is the champion: there is nothing to compare")
