"""Log a finished training and register its version."""

from __future__ import annotations

import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from bentos.core.artifact import Artifact, read_artifact
from bentos.core.errors import RegistryError
from bentos.core.features import FEATURE_SCHEMA
from bentos.core.registered import CHALLENGER, COMPLETE, MODEL_NAME, STATE
from bentos.core.settings import TrainingSettings
from training.evaluate.evaluation import Evaluation
from training.registry.client import connect, translated
from training.registry.lineage import cluster_tags, feature_definition, package_versions, pip_freeze
from training.registry.model import TRAINED_FILE, save_mlflow_model, save_trained
from training.registry.tracking import TrainingRun

__all__ = ["HELD_OUT_LIMIT", "RegisteredVersion", "make_challenger", "record_training"]

#: Most held-out rows that are kept for later comparisons; 200,000 of 27 columns are about 10 MB as Parquet.
HELD_OUT_LIMIT: Final = 200_000
#: What MLflow takes as the value of a parameter and of a tag.
_LONGEST: Final = 5000


class RecordedModel(Protocol):
    """What is asked of a trained model here: what it was made with."""

    @property
    def kind(self) -> str: ...
    @property
    def config(self) -> Any: ...


@dataclass(frozen=True)
class RegisteredVersion:
    """A complete version of the registered model."""

    name: str
    version: str
    run_id: str
    artifact_digest: str


def record_training(  # noqa: PLR0913 - all of it goes on record
    settings: TrainingSettings,
    *,
    run: TrainingRun,
    model: RecordedModel | None,
    evaluation: Evaluation,
    artifact: Path,
    pictures: Sequence[Path] = (),
    data_hash: str,
    seeds: Mapping[str, int],
    snapshot: Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    as_challenger: bool = True,
) -> RegisteredVersion:
    """Log everything of a training, then mark its version complete: the last step, so that no half version shows.

    Parameters
    ----------
    run
        Open, with a reserved version; both numbers must stand in the artifact's card.
    model
        Kept with joblib for study; None when only the artifact is known.
    evaluation, pictures
        Of the model that was exported.
    artifact
        The exported folder. It is verified before anything is logged.
    data_hash
        Of the table that was trained on.
    seeds
        Every seed by name.
    snapshot
        The feature snapshot that a bento carries.
    parameters
        Logged besides those of the model's configuration.
    as_challenger
        Whether the alias moves to this version.

    Raises
    ------
    ArtifactError
        When the artifact is not sound.
    RegistryError
        When card and run differ, or MLflow fails; the version is then deleted as the run closes.
    """
    exported = read_artifact(artifact, public_key=settings.signing_public_key)
    _require_own_card(run, exported, data_hash)
    client, uri = run.connection.client, run.connection.uri
    values = dict(_flat(model.config.model_dump(mode="json") if model is not None else exported.card.parameters))
    values |= dict(_flat(dict(parameters or {}))) | {f"seed.{name}": seed for name, seed in seeds.items()}
    with translated(uri, "logging the training"):
        _log_numbers(run, evaluation, values)
        tags = _tags(exported, evaluation, data_hash) | cluster_tags(settings)
        with tempfile.TemporaryDirectory(prefix="fraud-record-") as name:
            folder = Path(name)
            if model is not None:
                (folder / "pipeline").mkdir()
                tags["fraud.trained_sha256"] = save_trained(model, folder / "pipeline")
                tags["fraud.trained_file"] = f"pipeline/{TRAINED_FILE}"
            _write_reports(folder, evaluation)
            client.log_artifacts(run.run_id, str(folder))
            mlflow_model = folder / "mlflow_model"
            save_mlflow_model(exported.onnx, mlflow_model, {"artifact_digest": exported.digest})
            client.log_model_artifacts(run.model_id, str(mlflow_model))
        for picture in pictures:
            client.log_artifact(run.run_id, str(picture), "pictures")
        client.log_artifacts(run.run_id, str(artifact), "artifact")
        if snapshot is not None:
            _log_snapshot(client, run.run_id, snapshot)
            tags["fraud.snapshot"] = snapshot.name
        _log_inputs(client, run, data_hash, evaluation)
        for key, value in tags.items():
            client.set_tag(run.run_id, key, value[:_LONGEST])
            client.set_model_version_tag(MODEL_NAME, run.version, key, value[:_LONGEST])
        client.finalize_logged_model(run.model_id, "READY")
        client.set_model_version_tag(MODEL_NAME, run.version, STATE, COMPLETE)
        run.complete = True
        if as_challenger:
            _again(lambda: client.set_registered_model_alias(MODEL_NAME, CHALLENGER, run.version))
    return RegisteredVersion(MODEL_NAME, str(run.version), run.run_id, exported.digest)


def make_challenger(settings: TrainingSettings, version: RegisteredVersion) -> None:
    """Move the challenger's alias to a version, where another training may have put it elsewhere meanwhile.

    Raises
    ------
    RegistryError
        When MLflow fails.
    """
    connection = connect(settings)
    with translated(connection.uri, "naming the challenger"):
        _again(lambda: connection.client.set_registered_model_alias(MODEL_NAME, CHALLENGER, version.version))


def _require_own_card(run: TrainingRun, exported: Artifact, data_hash: str) -> None:
    if run.version is None:
        raise RegistryError("no version was reserved: call run.reserve_version() before exporting the artifact")
    card = exported.card
    for what, expected, found in (
        ("MLflow run", run.run_id, card.mlflow_run_id),
        ("MLflow model version", run.version, card.mlflow_model_version),
        ("data hash", data_hash, card.data_hash),
    ):
        if str(found) != str(expected):
            raise RegistryError(
                f"the artifact's card names the {what} {found}, this training has {expected}: export it with the"
                " numbers of this run"
            )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _log_numbers(run: TrainingRun, evaluation: Evaluation, values: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in evaluation.metrics().items()]
    for step, fold in enumerate(evaluation.folds):
        metrics += [Metric(f"fold.{name}", value, now, step) for name, value in fold.metrics.items()]
        metrics += [Metric(f"fold.{name}_train", value, now, step) for name, value in (fold.train or {}).items()]
    params = [Param(name, str(value)[:_LONGEST]) for name, value in sorted(values.items())]
    # MLflow takes at most 100 parameters in one call.
    for start in range(0, max(len(params), 1), 100):
        run.connection.client.log_batch(run.run_id, metrics if start == 0 else (), params[start : start + 100])


def _tags(exported: Artifact, evaluation: Evaluation, data_hash: str) -> dict[str, str]:
    return {
        "fraud.artifact_digest": exported.digest,
        "fraud.code_version": exported.card.code_version,
        "fraud.data_hash": data_hash,
        "fraud.feature_schema": FEATURE_SCHEMA,
        "fraud.kind": exported.kind,
        "fraud.overfitting": evaluation.overfitting.status,
        "fraud.packages": json.dumps(package_versions()),
        "fraud.split": evaluation.split,
        **{f"fraud.metric.{name}": f"{value.mean:.6g}" for name, value in evaluation.summary.items()},
    }


def _write_reports(folder: Path, evaluation: Evaluation) -> None:
    (folder / "evaluation.json").write_text(evaluation.to_json(), encoding="utf-8")
    buffer = io.BytesIO()
    evaluation.held_out.sample(HELD_OUT_LIMIT).frame.to_parquet(buffer, index=False)
    (folder / "held_out.parquet").write_bytes(buffer.getvalue())
    (folder / "features.json").write_text(json.dumps(feature_definition(), indent=2), encoding="utf-8")
    (folder / "environment").mkdir()
    (folder / "environment" / "pip-freeze.txt").write_text(pip_freeze(), encoding="utf-8")
    (folder / "environment" / "packages.json").write_text(json.dumps(package_versions(), indent=2), encoding="utf-8")


def _log_snapshot(client: Any, run_id: str, snapshot: Path) -> None:
    if snapshot.is_dir():
        client.log_artifacts(run_id, str(snapshot), "snapshot")
    else:
        client.log_artifact(run_id, str(snapshot), "snapshot")


def _log_inputs(client: Any, run: TrainingRun, data_hash: str, evaluation: Evaluation) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput

    source = json.dumps({"data_hash": data_hash, "feature_schema": FEATURE_SCHEMA})
    schema = json.dumps(
        {"mlflow_colspec": [{"type": "double", "name": item["name"]} for item in feature_definition()["features"]]}
    )
    profile = json.dumps({"held_out_rows": len(evaluation.held_out.frame), "split": evaluation.split})
    # MLflow keeps 36 characters of a digest; the tag has all of it.
    table = Dataset("feature_table", data_hash[:36], "local", source, schema, profile)
    _again(lambda: client.log_inputs(run.run_id, [DatasetInput(table, [InputTag("mlflow.data.context", "training")])]))
    client.log_outputs(run.run_id, [LoggedModelOutput(run.model_id, step=0)])


def _again(call: Callable[[], None], attempts: int = 4) -> None:
    """MLflow looks for a data set or an alias and then inserts it: of two runs one fails, and finds it next."""
    from mlflow.exceptions import MlflowException

    for attempt in range(attempts):
        try:
            call()
        except MlflowException:
            if attempt + 1 == attempts:
                raise
            time.sleep(0.05 * (attempt + 1))
        else:
            return
