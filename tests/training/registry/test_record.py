from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bentos.core.artifact import read_artifact
from bentos.core.errors import RegistryError
from bentos.core.features import FEATURE_NAMES, FEATURE_SCHEMA
from bentos.core.registered import MODEL_NAME
from bentos.core.settings import TrainingSettings
from tests.training.evaluate.standins import later_folds
from tests.training.registry.standins import LinearModel, evaluated, export, train_and_record
from training.evaluate.report import feature_rows
from training.registry.client import connect
from training.registry.versions import (
    export_version,
    fetch_artifact,
    held_out_of,
    list_versions,
    resolve,
    trained_model_of,
)


@pytest.fixture
def recorded(settings: TrainingSettings, table: pd.DataFrame, tmp_path: Path) -> str:
    snapshot = tmp_path / "features.npz"
    snapshot.write_bytes(b"states")
    picture = tmp_path / "roc.png"
    picture.write_bytes(b"png")
    return train_and_record(settings, table, tmp_path, snapshot=snapshot, pictures=[picture]).version


def test_a_run_holds_all_that_is_needed_to_make_the_model_again(settings: TrainingSettings, recorded: str) -> None:
    connection = connect(settings)
    version = resolve(connection, recorded)
    run = connection.client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["layers"] == "[32, 16]"
    assert run.data.params["optimiser.rate"] == "0.01"
    assert run.data.params["seed.model"] == "7"
    assert 0 < run.data.metrics["average_precision"] <= 1
    history = connection.client.get_metric_history(version.run_id, "fold.average_precision")
    assert sorted(item.step for item in history) == [0, 1]
    assert run.data.tags["fraud.data_hash"] == "d" * 64
    assert run.data.tags["fraud.feature_schema"] == FEATURE_SCHEMA
    assert run.data.tags["fraud.code_dirty"] in {"true", "false", "unknown"}
    assert json.loads(run.data.tags["fraud.packages"])["numpy"] == np.__version__
    assert run.inputs.dataset_inputs[0].dataset.digest == "d" * 36
    names = {item.path for item in connection.client.list_artifacts(version.run_id)}
    assert {"artifact", "environment", "evaluation.json", "features.json", "pictures", "pipeline", "snapshot"} <= names
    freeze = Path(connection.client.download_artifacts(version.run_id, "environment/pip-freeze.txt")).read_text()
    assert f"numpy=={np.__version__}" in freeze
    assert version.aliases == ("challenger",)


def test_the_registered_model_loads_again_with_the_same_scores(
    settings: TrainingSettings, recorded: str, table: pd.DataFrame
) -> None:
    import mlflow.pyfunc

    connection = connect(settings)
    found = connection.client.get_model_version(MODEL_NAME, recorded)
    loaded = mlflow.pyfunc.load_model(found.source)
    signature = loaded.metadata.signature
    assert signature.inputs.input_names() == list(FEATURE_NAMES)
    assert {str(item) for item in signature.inputs.input_types()} == {"DataType.double"}
    features = table[list(FEATURE_NAMES)].iloc[:500]
    answer = loaded.predict(features)
    expected = LinearModel().score(feature_rows(table, np.arange(500)))
    np.testing.assert_allclose(np.ravel(answer["score"]), expected, atol=1e-12)
    # Columns in another order are put right by name, a missing one is refused.
    shuffled = loaded.predict(features[list(reversed(FEATURE_NAMES))])
    np.testing.assert_allclose(np.ravel(shuffled["score"]), expected, atol=1e-12)
    with pytest.raises(Exception, match="hour"):
        loaded.predict(features.drop(columns="hour"))


def test_the_trained_model_loads_only_when_nobody_touched_it(
    settings: TrainingSettings, recorded: str, table: pd.DataFrame
) -> None:
    connection = connect(settings)
    version = resolve(connection, recorded)
    rows = feature_rows(table, np.arange(50))
    np.testing.assert_array_equal(trained_model_of(connection, version).score(rows), LinearModel().score(rows))
    (file,) = (settings.home / "mlruns").rglob("trained_model.joblib")
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(RegistryError, match="it was changed and is not loaded"):
        trained_model_of(connection, version)


def test_held_out_rows_come_back_without_ids(settings: TrainingSettings, recorded: str, table: pd.DataFrame) -> None:
    connection = connect(settings)
    held_out = held_out_of(connection, resolve(connection, recorded))
    assert not {"customer_id", "transaction_id"} & set(held_out.frame.columns)
    tests = np.concatenate([fold.test for fold in later_folds(table, 2)])
    np.testing.assert_array_equal(held_out.rows, feature_rows(table, tests))
    np.testing.assert_allclose(held_out.scores, LinearModel().score(held_out.rows))
    same = table.customer_id.iloc[tests].to_numpy()
    assert (pd.factorize(same, sort=True)[0] == held_out.customers).all()


def test_export_writes_artifact_and_snapshot_or_nothing(
    settings: TrainingSettings, recorded: str, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "model"
    export_version(settings, "challenger", output)
    assert read_artifact(output / "artifact", public_key=None).card.mlflow_model_version == recorded
    assert (output / "snapshot" / "features.npz").read_bytes() == b"states"
    with pytest.raises(RegistryError, match="exists already"):
        export_version(settings, recorded, output)
    # A changed byte in the registry's copy is found before anything is written.
    (model,) = (settings.home / "mlruns").rglob("artifact/model.onnx")
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    with pytest.raises(Exception, match=r"model\.onnx is not as it was written"):
        export_version(settings, recorded, tmp_path / "other")
    assert not list(tmp_path.glob("*other*"))


def test_another_artifact_under_the_same_version_is_refused(
    settings: TrainingSettings, recorded: str, table: pd.DataFrame, tmp_path: Path
) -> None:
    connection = connect(settings)
    (folder,) = {path.parent for path in (settings.home / "mlruns").rglob("artifact/model.onnx")}
    export(LinearModel(0.5), table, folder, evaluated(LinearModel(0.5), table))
    with pytest.raises(RegistryError, match="it was replaced"):
        fetch_artifact(connection, resolve(connection, recorded), settings)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"mlflow_model_version": "99"}, "names the MLflow model version 99"),
        ({"mlflow_run_id": "elsewhere"}, "names the MLflow run elsewhere"),
        ({"data_hash": "e" * 64}, "names the data hash e+, this training has d+"),
    ],
)
def test_an_artifact_of_another_training_is_not_registered(
    settings: TrainingSettings, table: pd.DataFrame, tmp_path: Path, card: dict[str, str], message: str
) -> None:
    with pytest.raises(RegistryError, match=message):
        train_and_record(settings, table, tmp_path, **card)
    connection = connect(settings)
    assert list_versions(connection) == []
    assert connection.client.search_model_versions(f"name = '{MODEL_NAME}'") == []
