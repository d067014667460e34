"""A bento's version, labels and description: all from the card of the artifact that it carries."""

from __future__ import annotations

import re
from typing import Final

import bentoml
from bentoml.exceptions import BentoMLException

from bentos.core.artifact import Artifact
from bentos.core.errors import FraudError
from bentos.core.settings import load_settings
from bentos.fraud.application import load_artifact
from bentos.fraud.scorer import Scorer
from bentos.fraud.settings import ScoringSettings

__all__ = ["BENTO_NAME", "artifact_to_build", "describe", "labels", "name_build", "version"]

BENTO_NAME: Final = "fraud_detector"
_SHORT: Final = 8
_FORBIDDEN: Final = re.compile(r"[^a-z0-9._]+")


def artifact_to_build() -> Artifact:
    """The artifact that a build packs, tried out as a server would.

    Raises
    ------
    BentoMLException
        When there is none to serve; BentoML's commands print it as one line.
    """
    try:
        artifact = load_artifact(load_settings(ScoringSettings))
        Scorer(artifact)
    except FraudError as error:
        raise BentoMLException(str(error)) from error
    return artifact


def version(artifact: Artifact) -> str:
    """Version of a bento: model version, MLflow run, data hash and commit, the last three shortened.

    Such as ``3-5f0c2a91-9d3e77b0-1a2b3c4d``; at most 63 characters, which is BentoML's limit.
    """
    card = artifact.card
    parts = (
        _word(card.version, 16),
        *(_word(part, _SHORT) for part in (card.mlflow_run_id, card.data_hash, card.code_version)),
    )
    return "-".join(parts)


def labels(artifact: Artifact) -> dict[str, str]:
    """Labels of a bento, in full."""
    card = artifact.card
    return {
        "model_name": card.name,
        "model_version": card.version,
        "model_kind": card.kind,
        "mlflow_run_id": card.mlflow_run_id or "none",
        "mlflow_model_version": card.mlflow_model_version or "none",
        "data_hash": card.data_hash,
        "commit": card.code_version,
        "artifact_digest": artifact.digest,
    }


def name_build() -> dict[str, str]:
    """Labels of the bento about to be built; lets its version come from the artifact too.

    ``bentoml build`` takes a version from its command line only, and otherwise asks ``Tag.make_new_version`` for a
    random one. That public method is replaced, for bentos of this name, by one that names the model.
    """
    artifact = artifact_to_build()
    original = bentoml.Tag.make_new_version

    def make_new_version(tag: bentoml.Tag) -> bentoml.Tag:
        if tag.name != BENTO_NAME or tag.version is not None:
            return original(tag)
        return bentoml.Tag(tag.name, _unused(version(artifact)))

    bentoml.Tag.make_new_version = make_new_version  # type: ignore[assignment,method-assign]
    return labels(artifact)


def describe() -> str:
    """The bento's README."""
    card = artifact_to_build().card
    facts = {
        "Model": f"{card.name} {card.version} ({card.kind})",
        "MLflow run": card.mlflow_run_id,
        "MLflow model version": card.mlflow_model_version,
        "Data hash": card.data_hash,
        "Commit": card.code_version,
        **{f"Metric {name}": f"{value:.4f}" for name, value in sorted(card.metrics.items())},
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return f"# {BENTO_NAME}\n\nScores card transactions for fraud, and says why.\n\n| | |\n|---|---|\n{rows}\n"


def _unused(wanted: str) -> str:
    taken = {bento.tag.version for bento in bentoml.list() if bento.tag.name == BENTO_NAME}
    # The same model with other code is another bento.
    candidates = (wanted if number == 1 else f"{wanted}-{number}" for number in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if candidate not in taken)


def _word(text: str | None, length: int) -> str:
    return _FORBIDDEN.sub("", (text or "none").lower())[:length].strip("._") or "none"
