"""What a study belongs to: trials of other data, features, ranges or folds must not be mixed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from training.models.config import ModelConfig
from training.models.space import Space
from training.splits import Fold

__all__ = ["StudyIdentity", "study_identity"]

#: Raise this when the objective changes its values for the same configuration and rows.
_OBJECTIVE_VERSION = 1


@dataclass(frozen=True)
class StudyIdentity:
    """Digests of what every trial of a study shares, in words that a refused resume can name."""

    data: str
    features: str
    space: str
    model: str
    folds: str
    seed: str

    def name(self, model: str) -> str:
        """A name for the study: the same for the same identity."""
        whole = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{model}-{whole[:12]}"

    def differences(self, other: dict[str, object]) -> list[str]:
        """What is not the same in another study's attributes, in words."""
        return [
            f"{name} {str(other.get(name))[:16]} there, {value[:16]} here"
            for name, value in asdict(self).items()
            if other.get(name) != value
        ]


def study_identity(
    config: ModelConfig, space: Space, folds: Sequence[Fold], *, data_hash: str, feature_schema: str, seed: int
) -> StudyIdentity:
    """Identity of a search.

    Parameters
    ----------
    config
        What the search starts from.
    folds
        Whose rows count, not only their number.
    """
    ranges = {path: repr(dimension) for path, dimension in sorted(space.items())}
    rows = hashlib.sha256()
    for fold in folds:
        for indices in (fold.train, fold.test):
            rows.update(len(indices).to_bytes(8, "little") + indices.tobytes())
    # Threads change how long a trial takes, not what it finds; a name is for people.
    base = config.model_dump(mode="json", exclude={"threads", "name"})
    return StudyIdentity(
        data=data_hash,
        features=feature_schema,
        space=_digest([_OBJECTIVE_VERSION, ranges]),
        model=_digest(base),
        folds=rows.hexdigest(),
        seed=str(seed),
    )


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
