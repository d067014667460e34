"""What MLflow knows of the registered models, and promotion. The only module that imports mlflow.

Reading is by MLflow's client; promoting is `python -m training promote`, which holds the rule, the comparison and the
files of the champion: there is one way of doing it.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd

from bentos.core.errors import RegistryError
from bentos.core.registered import COMPLETE, MODEL_NAME, STATE
from dashboard.settings import DashboardSettings

__all__ = ["Details", "ModelVersion", "Registry", "open_registry", "promote"]

_PROMOTE_SECONDS: Final = 300.0
_ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass(frozen=True)
class ModelVersion:
    """A registered version: its number, aliases, run, tags, and when it was made, UTC."""

    number: str
    aliases: tuple[str, ...]
    run_id: str
    tags: Mapping[str, str]
    created: datetime

    def metric(self, name: str) -> float:
        """A metric of its evaluation; NaN when it is not on record."""
        return float(self.tags.get(f"fraud.metric.{name}", "nan"))


@dataclass(frozen=True)
class Details:
    """What training logged with a version.

    Parameters
    ----------
    evaluation
        Folds, summary, thresholds, costs, confusion.
    held_out
        Rows that the model had not seen: ``paid``, ``is_fraud``, ``score``.
    pictures
        Name to PNG.
    parameters
        Of the run.
    """

    evaluation: Mapping[str, Any]
    held_out: pd.DataFrame
    pictures: Mapping[str, bytes]
    parameters: Mapping[str, str]


class Registry:
    """A registry, open for reading.

    Parameters
    ----------
    uri
        MLflow's server or database.
    """

    def __init__(self, uri: str) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow warns of its own parts
            from mlflow import MlflowClient

            for name in ("alembic", "mlflow", "urllib3.connectionpool"):
                logging.getLogger(name).setLevel(logging.ERROR)
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def versions(self) -> list[ModelVersion]:
        """Complete versions, the newest first; none when nothing was registered."""
        from mlflow.exceptions import MlflowException

        with _translated("listing the versions"):
            try:
                model = self._client.get_registered_model(MODEL_NAME)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return []
                raise
            found = self._client.search_model_versions(f"name = '{MODEL_NAME}'", max_results=200)
        aliases: dict[str, list[str]] = {}
        for alias, number in model.aliases.items():
            aliases.setdefault(str(number), []).append(alias)
        versions = [
            ModelVersion(
                str(item.version),
                tuple(sorted(aliases.get(str(item.version), ()))),
                str(item.run_id),
                dict(item.tags),
                datetime.fromtimestamp(item.creation_timestamp / 1000, UTC),
            )
            for item in found
            if item.tags.get(STATE) == COMPLETE
        ]
        return sorted(versions, key=lambda item: int(item.number), reverse=True)

    def details(self, run_id: str) -> Details:
        """What training logged with a version's run."""
        with _translated(f"reading run {run_id}"), tempfile.TemporaryDirectory(prefix="fraud-dashboard-") as folder:

            def fetched(path: str) -> Path:
                return Path(self._client.download_artifacts(run_id, path, folder))

            evaluation = json.loads(fetched("evaluation.json").read_text(encoding="utf-8"))
            held_out = pd.read_parquet(fetched("held_out.parquet"), columns=["paid", "is_fraud", "score"])
            names = [item.path for item in self._client.list_artifacts(run_id, "pictures")]
            pictures = {Path(name).stem: fetched(name).read_bytes() for name in names if name.endswith(".png")}
            return Details(evaluation, held_out, pictures, dict(self._client.get_run(run_id).data.params))


def open_registry(settings: DashboardSettings) -> Registry | None:
    """The registry of these settings; None when there is none on this machine and no server was named."""
    if settings.mlflow_tracking_uri is not None:
        return Registry(settings.mlflow_tracking_uri)
    database = settings.home.resolve() / "mlflow.db"
    # MLflow would make an empty database of a file that is not there.
    return Registry(f"sqlite:///{database}") if database.is_file() else None


def promote(settings: DashboardSettings, number: str, reason: str, *, force: bool) -> list[Mapping[str, Any]]:
    """Make a version champion; returns the findings of the acceptance rule (name, passed, text).

    Raises
    ------
    RegistryError
        When the rule refuses, training is not installed beside the dashboard, or MLflow fails; nothing was changed
        then, or promoting again finishes it.
    """
    command = [sys.executable, "-m", "training", "promote", number, "--reason", reason, "--json"]
    environment = {**os.environ, "FRAUD_HOME": str(settings.home.resolve())}
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and click reads the reason as one argument
            [*command, *(["--force"] if force else [])],
            capture_output=True,
            text=True,
            timeout=_PROMOTE_SECONDS,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RegistryError("promoting did not end in five minutes; look at the versions, then try again") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
        if "No module named" in last:
            last = "training is not installed beside the dashboard: run `python -m training promote` where it is"
        raise RegistryError(last)
    findings: list[Mapping[str, Any]] = json.loads(done.stdout)["findings"]
    return findings


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    advice = "start MLflow, or correct MLFLOW_TRACKING_URI, or unset it to use the database under FRAUD_HOME"
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        text = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise RegistryError(f"{doing} failed: {text}; {advice}") from error
    except (ValueError, KeyError) as error:
        raise RegistryError(f"{doing} failed: what was logged cannot be read; train again") from error
