"""From a feature table to a registered version: fit, evaluate on what comes later, export, record.

Each stage is a function of its own: :func:`train_and_evaluate` writes nothing, :func:`train_and_register` puts an
MLflow run around it and exports what was evaluated.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.core.artifact import ModelCard, TrainingPeriod, decode_key, read_artifact
from bentos.core.drift import MERCHANT_CATEGORY
from bentos.core.errors import ConfigError
from bentos.core.explain import load_explainer
from bentos.core.features import FEATURE_NAMES, FEATURE_SCHEMA
from bentos.core.settings import TrainingSettings
from training.data.table import table_hash
from training.evaluate.evaluation import Evaluation
from training.evaluate.report import evaluate_model
from training.models.config import ModelConfig
from training.models.progress import Progress
from training.models.train import train_model
from training.models.trained import TrainedModel
from training.splits import Fold, later_fraction

if TYPE_CHECKING:
    from training.registry.record import RegisteredVersion
    from training.registry.tracking import TrainingRun

__all__ = ["TrainingResult", "feature_rows", "train_and_evaluate", "train_and_register"]


@dataclass(frozen=True)
class TrainingResult:
    """A model with what is known of it.

    Parameters
    ----------
    model
        Fitted on ``fold.train`` alone; it is the one that is exported.
    evaluation
        On ``fold.test``, the later rows.
    fold
        Row numbers of ``table``.
    table
        The feature table.
    data_hash
        Of the table.
    seeds
        Every seed by name.
    """

    model: TrainedModel
    evaluation: Evaluation
    fold: Fold
    table: pd.DataFrame
    data_hash: str
    seeds: dict[str, int]

    @property
    def rows(self) -> NDArray[np.float32]:
        """Feature rows that the model was fitted on."""
        return feature_rows(self.table, self.fold.train)

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Their labels."""
        return self.table["is_fraud"].to_numpy(dtype=bool)[self.fold.train]

    @property
    def categories(self) -> list[str] | None:
        """Their merchants' categories; None when the table was made before those were kept."""
        if MERCHANT_CATEGORY not in self.table.columns:
            return None
        return [str(name) for name in self.table[MERCHANT_CATEGORY].iloc[self.fold.train]]


def feature_rows(table: pd.DataFrame, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features of some rows of a feature table, float32 [n, 21]."""
    return table[list(FEATURE_NAMES)].to_numpy(dtype=np.float32)[indices]


def train_and_evaluate(
    config: ModelConfig,
    table: pd.DataFrame,
    *,
    seed: int = 0,
    fraction: float = 0.2,
    progress: Progress | None = None,
) -> TrainingResult:
    """Fit a model on the earlier rows and evaluate it on the later ones.

    Parameters
    ----------
    table
        A feature table, see ``training.features_file``.
    fraction
        Share of the rows, the latest, to evaluate on.

    Raises
    ------
    DataError
        Rows that cannot be trained or evaluated on.
    ConfigError
        Parameter values that the estimator refuses.
    """
    fold = later_fraction(table, fraction)
    labels = table["is_fraud"].to_numpy(dtype=bool)
    model = train_model(config, feature_rows(table, fold.train), labels[fold.train], seed, progress=progress)
    evaluation = evaluate_model(
        model, table, [fold], split=f"later fraction={fraction:g}", fitted_on=fold.train, seed=seed
    )
    return TrainingResult(model, evaluation, fold, table, table_hash(table), {"model": seed, "evaluation": seed})


def train_and_register(
    settings: TrainingSettings,
    config: ModelConfig,
    table: pd.DataFrame,
    *,
    seed: int = 0,
    fraction: float = 0.2,
    snapshot: Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> tuple[RegisteredVersion, TrainingResult]:
    """Train, evaluate, export and register a model as challenger.

    The version shows in the registry when all of it is there; a failure or Ctrl-C leaves a run marked so, no version.

    Parameters
    ----------
    snapshot
        The feature snapshot that a bento of this model carries.
    parameters
        Logged besides those of the configuration, such as the study that they come from.

    Raises
    ------
    FraudError
        As the stages do: ``DataError``, ``ConfigError``, ``ParityError`` and others of the artifact, ``RegistryError``.
    """
    from training.registry.tracking import training_run

    if config.kind == "other":
        raise ConfigError(
            f"{config.estimator} can be trained and compared but not served, so it is not registered; use"
            " `--no-register`, or a forest or network"
        )
    with training_run(settings, name=config.name) as run:
        result = train_and_evaluate(config, table, seed=seed, fraction=fraction, progress=progress)
        return register_result(settings, run, result, snapshot=snapshot, parameters=parameters), result


def register_result(
    settings: TrainingSettings,
    run: TrainingRun,
    result: TrainingResult,
    *,
    snapshot: Path | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> RegisteredVersion:
    """Export what was trained and record it under an open run.

    Raises
    ------
    ArtifactError, RegistryError
        As :func:`train_and_register`.
    """
    from training.evaluate.pictures import draw_pictures
    from training.export.export import ExportOptions, export_model
    from training.registry.record import record_training

    secret = settings.signing_private_key
    key = None if secret is None else decode_key(secret.get_secret_value(), "FRAUD_SIGNING_PRIVATE_KEY")
    with tempfile.TemporaryDirectory(prefix="fraud-training-") as name:
        place = Path(name)
        card = model_card(result, run.reserve_version(), run.run_id)
        artifact = export_model(
            result.model,
            result.rows,
            result.labels,
            place / "artifact",
            card,
            result.evaluation.thresholds,
            private_key=key,
            options=ExportOptions(
                reference_scores=result.evaluation.held_out.scores,
                categories=result.categories,
                seed=result.seeds["model"],
            ),
        )
        exported = read_artifact(artifact, public_key=None)
        explainer = load_explainer(exported.kind, exported.explainer)
        return record_training(
            settings,
            run=run,
            model=result.model,
            evaluation=result.evaluation,
            artifact=artifact,
            pictures=draw_pictures(result.evaluation, place / "pictures", explainer=explainer),
            data_hash=result.data_hash,
            seeds=result.seeds,
            snapshot=snapshot,
            parameters=parameters,
        )


def model_card(result: TrainingResult, version: str, run_id: str | None) -> ModelCard:
    """Where a model comes from."""
    from bentos.core.registered import MODEL_NAME
    from training.registry.lineage import code_version, package_versions

    stamps = result.table["timestamp"].iloc[result.fold.train]
    kind = result.model.kind
    if kind == "other":
        raise ConfigError(f"a {result.model.config.estimator} has no model card, as it cannot be exported")
    return ModelCard(
        name=MODEL_NAME,
        version=version,
        kind=kind,
        created_at=datetime.now(UTC),
        data_hash=result.data_hash,
        code_version=code_version().commit,
        mlflow_run_id=run_id,
        mlflow_model_version=version if run_id is not None else None,
        seeds=result.seeds,
        metrics=result.evaluation.metrics(),
        parameters=result.model.config.model_dump(mode="json"),
        feature_schema=FEATURE_SCHEMA,
        training_period=TrainingPeriod(start=stamps.min().date(), end=stamps.max().date()),
        rows=len(result.fold.train),
        frauds=int(result.labels.sum()),
        environment=package_versions(),
    )
