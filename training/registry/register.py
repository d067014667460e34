"""Register an artifact that was exported elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bentos.core.artifact import ArtifactContents, decode_key, read_artifact, write_artifact
from bentos.core.settings import TrainingSettings
from training.evaluate.artifact_scorer import ArtifactScorer
from training.evaluate.pictures import draw_pictures
from training.evaluate.report import FoldLike, evaluate_model
from training.registry.record import RegisteredVersion, record_training
from training.registry.tracking import training_run

__all__ = ["register_artifact"]


def register_artifact(
    settings: TrainingSettings,
    folder: Path,
    table: pd.DataFrame,
    folds: Sequence[FoldLike],
    *,
    split: str,
    snapshot: Path | None = None,
    top_k: int = 100,
) -> RegisteredVersion:
    """Evaluate an artifact and register it, its card rewritten with the run and the version that it gets here.

    Model, explainer, distributions and thresholds stay as they are; card, manifest and signature are new.

    Raises
    ------
    ArtifactError
        When the artifact is not sound.
    DataError
        When it cannot be evaluated on these rows.
    RegistryError
        When MLflow fails.
    """
    given = read_artifact(folder, public_key=settings.signing_public_key)
    secret = settings.signing_private_key
    key = None if secret is None else decode_key(secret.get_secret_value(), "FRAUD_SIGNING_PRIVATE_KEY")
    with tempfile.TemporaryDirectory(prefix="fraud-register-") as name:
        place = Path(name)
        with training_run(settings, name=f"register {given.kind}", tags={"fraud.registered_from": given.digest}) as run:
            evaluation = evaluate_model(ArtifactScorer(given), table, folds, split=split, top_k=top_k)
            version = run.reserve_version()
            card = given.card.model_copy(
                update={
                    "version": version,
                    "mlflow_run_id": run.run_id,
                    "mlflow_model_version": version,
                    "metrics": evaluation.metrics(),
                }
            )
            contents = ArtifactContents(
                kind=given.card.kind,
                onnx=given.onnx,
                explainer=given.explainer,
                distributions=given.distributions,
                thresholds=given.thresholds,
                card=card,
            )
            write_artifact(place / "artifact", contents, private_key=key)
            return record_training(
                settings,
                run=run,
                model=None,
                evaluation=evaluation,
                artifact=place / "artifact",
                pictures=draw_pictures(evaluation, place / "pictures"),
                data_hash=card.data_hash,
                seeds=card.seeds,
                snapshot=snapshot,
            )
