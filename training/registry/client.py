"""The connection to MLflow: which server, quiet, and no waiting for one that is not there.

Only ``MlflowClient`` is used, never MLflow's fluent functions: those keep the server and the run in globals and in
the environment, where the settings of the next caller would find them.
"""

from __future__ import annotations

import fcntl
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

from bentos.core.errors import RegistryError
from bentos.core.registered import MODEL_NAME
from bentos.core.settings import TrainingSettings

__all__ = ["EXPERIMENT", "Connection", "connect", "exclusive", "load_mlflow", "translated"]

EXPERIMENT: Final = "fraud_detection"

#: Set before MLflow is imported, unless the user has: nothing is sent anywhere, and a server that does not
#: answer is given up after seconds. MLflow's own limits are 120 s a request and 7 retries with growing pauses.
_ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
#: Loggers that tell of their own migrations and retries; errors come as exceptions.
_NOISY: Final = ("alembic", "mlflow", "urllib3.connectionpool")
#: For the first request, which only asks whether anybody is there.
_PROBE: Final = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


@dataclass(frozen=True)
class Connection:
    """An MLflow server or database, ready for use.

    Parameters
    ----------
    client
        ``mlflow.MlflowClient``.
    uri
        Where it is; the password is left out.
    experiment_id
        Of :data:`EXPERIMENT`.
    home
        FRAUD_HOME, absolute.
    """

    client: Any
    uri: str
    experiment_id: str
    home: Path


def load_mlflow() -> ModuleType:
    """Import MLflow, quiet and without telemetry."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        # MLflow's tables use an option of SQLAlchemy that is on its way out; nothing a user could do about it.
        warnings.simplefilter("ignore")
        import mlflow
        import mlflow.store.model_registry.sqlalchemy_store
        import mlflow.store.tracking.sqlalchemy_store
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow  # type: ignore[no-any-return]


def _shown(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":…@")).geturl()


@contextmanager
def translated(uri: str, doing: str) -> Iterator[None]:
    """Turn MLflow's errors into ``RegistryError`` with what was being done and what to do."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        text = str(error).splitlines()[0][:400]
        if "API request to" in text:
            raise RegistryError(
                f"MLflow at {uri} does not answer ({doing}): start it, or correct MLFLOW_TRACKING_URI, or unset it to"
                " use the database under FRAUD_HOME"
            ) from error
        raise RegistryError(f"MLflow at {uri} refused ({doing}): {text}") from error
    except SQLAlchemyError as error:
        text = str(error).splitlines()[0][:400]
        raise RegistryError(f"the database of MLflow at {uri} failed ({doing}): {text}") from error
    except OSError as error:
        raise RegistryError(
            f"a file of MLflow at {uri} cannot be read or written ({doing}): {error.strerror or error}; check space"
            " and permissions"
        ) from error


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file; other processes of this machine wait."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise RegistryError(f"{path} cannot be locked: {error.strerror}; check space and permissions") from error


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def connect(settings: TrainingSettings) -> Connection:
    """Connect, and make the experiment when it is not there.

    Raises
    ------
    RegistryError
        Within seconds when the server does not answer, or when the database cannot be opened.
    """
    load_mlflow()
    home = settings.home.resolve()
    uri = settings.mlflow_tracking_uri or f"sqlite:///{home / 'mlflow.db'}"
    remote = urlsplit(uri).scheme in ("http", "https")
    shown = _shown(uri)
    with translated(shown, "connecting"), _environment(_PROBE if remote else {}):
        if remote:
            client, experiment_id = _open(uri, None)
        else:
            # Two processes that make the tables at the same time would trip over each other.
            with exclusive(home / ".mlflow.lock"):
                client, experiment_id = _open(uri, (home / "mlruns").as_uri())
    return Connection(client, shown, experiment_id, home)


def _open(uri: str, artifacts: str | None) -> tuple[Any, str]:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's migrations warn of their own SQL
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        for name in _NOISY:  # the migrations configure logging anew
            logging.getLogger(name).setLevel(logging.ERROR)
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            try:
                experiment = str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))
            except MlflowException:  # somebody else was quicker, on a server
                found = client.get_experiment_by_name(EXPERIMENT)
                if found is None:
                    raise
                experiment = str(found.experiment_id)
        else:
            experiment = str(found.experiment_id)
        try:
            client.get_registered_model(MODEL_NAME)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            try:
                client.create_registered_model(MODEL_NAME, description="Scores card transactions for fraud.")
            except MlflowException as race:
                if race.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
    return client, experiment
