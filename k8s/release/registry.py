"""What a release reads of MLflow's registry, and what it notes there. The one module here that imports mlflow."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from bentos.core.errors import ConfigError, RegistryError
from bentos.core.registered import CHALLENGER, CHAMPION, COMPLETE, MODEL_NAME, STATE
from bentos.core.settings import TrainingSettings

__all__ = ["ModelVersion", "Registry", "open_registry"]

_ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
#: Loggers that tell of their own migrations and retries; errors come as exceptions.
_NOISY: Final = ("alembic", "mlflow", "urllib3.connectionpool")
#: What MLflow takes as the value of a tag.
_LONGEST: Final = 5000


@dataclass(frozen=True)
class ModelVersion:
    """A registered version.

    Parameters
    ----------
    number
        Of the version.
    run_id
        That made it.
    tags
        Noted with it.
    """

    number: str
    run_id: str
    tags: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Whether its training logged everything."""
        return self.tags.get(STATE) == COMPLETE

    @property
    def feature_schema(self) -> str:
        """Of the rows that it scores; empty when it is not on record."""
        return self.tags.get("fraud.feature_schema", "")

    @property
    def digest(self) -> str:
        """Of its artifact; empty when none was logged."""
        return self.tags.get("fraud.artifact_digest", "")


class Registry:
    """The registered model.

    Parameters
    ----------
    client
        MLflow's.
    uri
        Where it is, without a password.
    """

    def __init__(self, client: Any, uri: str) -> None:
        self._client = client
        self.uri = uri

    def champion(self) -> ModelVersion | None:
        """The version with the alias champion; None when there is none."""
        return self._of_alias(CHAMPION)

    def challenger(self) -> ModelVersion | None:
        """The version with the alias challenger; None when there is none."""
        return self._of_alias(CHALLENGER)

    def version(self, number: str) -> ModelVersion:
        """A version by its number.

        Raises
        ------
        RegistryError
            When there is none.
        """
        found = self.find(number)
        if found is None:
            raise RegistryError(f"MLflow at {self.uri} has no version {number} of {MODEL_NAME} any more")
        return found

    def find(self, number: str) -> ModelVersion | None:
        """A version by its number; None when there is none."""
        from mlflow.exceptions import MlflowException

        with self._translated(f"reading version {number}"):
            try:
                found = self._client.get_model_version(MODEL_NAME, number)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise
        return ModelVersion(str(found.version), str(found.run_id), dict(found.tags))

    def has_artifact(self, version: ModelVersion) -> bool:
        """Whether the files of its artifact are there."""
        with self._translated(f"looking for the artifact of version {version.number}"):
            found = self._client.list_artifacts(version.run_id, "artifact")
        return any(item.path.rpartition("/")[2] == "manifest.json" for item in found)

    def note(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        with self._translated(f"noting the rollout with version {version.number}"):
            for name, value in tags.items():
                self._client.set_model_version_tag(MODEL_NAME, version.number, name, value[:_LONGEST])

    def make_champion(self, version: ModelVersion) -> None:
        """Move the alias champion to a version."""
        with self._translated(f"making version {version.number} champion"):
            self._client.set_registered_model_alias(MODEL_NAME, CHAMPION, version.number)

    def dismiss_challenger(self, version: ModelVersion) -> None:
        """Take the alias challenger from a version, if it still has it."""
        if self._aliases().get(CHALLENGER) == version.number:
            with self._translated(f"taking the alias challenger from version {version.number}"):
                self._client.delete_registered_model_alias(MODEL_NAME, CHALLENGER)

    def _of_alias(self, alias: str) -> ModelVersion | None:
        number = self._aliases().get(alias)
        return None if number is None else self.version(number)

    def _aliases(self) -> dict[str, str]:
        from mlflow.exceptions import MlflowException

        with self._translated("reading the aliases"):
            try:
                found = self._client.get_registered_model(MODEL_NAME).aliases
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return {}
                raise
        return {name: str(number) for name, number in found.items()}

    @contextlib.contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            text = (str(error).splitlines() or [type(error).__name__])[0][:400]
            raise RegistryError(
                f"MLflow at {self.uri} failed ({doing}): {text}; look at MLFLOW_TRACKING_URI, then run this again"
            ) from error


def open_registry(settings: TrainingSettings) -> Registry:
    """The registry that the settings name.

    Raises
    ------
    ConfigError
        MLflow is not installed, or there is no registry on this machine and none is named.
    """
    database = settings.home.resolve() / "mlflow.db"
    # MLflow would make an empty database of a file that is not there.
    if settings.mlflow_tracking_uri is None and not database.is_file():
        raise ConfigError(f"there is no registry: set MLFLOW_TRACKING_URI; {database} is not there either")
    uri = settings.mlflow_tracking_uri or f"sqlite:///{database}"
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of its own parts
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise ConfigError("a release reads MLflow: install the extras serve, train and k8s") from error
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.ERROR)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    return Registry(client, _shown(uri))


def _shown(uri: str) -> str:
    parts = urlsplit(uri)
    return uri if parts.password is None else uri.replace(f":{parts.password}@", ":…@")
