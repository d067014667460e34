"""Settings of the processes. Built once in an entry point and passed in; nothing reads the environment at import."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from bentos.core.errors import ConfigError

__all__ = ["ServingSettings", "Settings", "TrainingSettings", "load_settings"]

SettingsT = TypeVar("SettingsT", bound="Settings")


class Settings(BaseSettings):
    """What every process knows. Each field is read from ``FRAUD_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="FRAUD_", extra="ignore", frozen=True)

    home: Path = Field(default=Path("var"), description="Folder of everything the product writes on this machine.")
    pseudonym_key: SecretStr = Field(
        default=SecretStr(""),
        description="Key of the hash that turns customer and merchant ids into the keys of the feature store and of the"
        " snapshot. Empty means an unkeyed hash, which who knows the ids can reverse: set it in production.",
    )
    signing_public_key: str | None = Field(
        default=None,
        description="Ed25519 public key, 32 bytes in base64. When set, an artifact without its signature is refused.",
    )


class ServingSettings(Settings):
    """Settings of a scoring worker."""

    artifact: Path | None = Field(
        default=None,
        description="Artifact to serve. None means the one in the bento, else the champion under FRAUD_HOME.",
    )
    snapshot: Path | None = Field(
        default=None, description="Feature snapshot that fills an empty store. None means the one beside the artifact."
    )
    inference_threads: int = Field(
        default=1, ge=1, le=64, description="Threads of one model call; 1 suits one worker a core."
    )


class TrainingSettings(Settings):
    """Settings of training commands."""

    signing_private_key: SecretStr | None = Field(
        default=None, description="Ed25519 private key, 32 bytes in base64. When set, exported artifacts are signed."
    )
    mlflow_tracking_uri: str | None = Field(
        default=None,
        validation_alias="MLFLOW_TRACKING_URI",
        description="MLflow server. None means SQLite under FRAUD_HOME.",
    )
    tune_url: SecretStr | None = Field(
        default=None,
        description="SQLAlchemy URL of the database with the searches for hyper-parameters, such as"
        " postgresql+psycopg://user:password@host/name. None means SQLite under FRAUD_HOME.",
    )
    kubernetes_job: str = Field(
        default="", description="Job of Kubernetes that this process belongs to; it is noted with what is trained."
    )
    kubernetes_namespace: str = Field(default="", description="Namespace of that Job.")
    kubernetes_pod: str = Field(default="", description="Pod of that Job that this process runs in.")
    kubernetes_image: str = Field(default="", description="Image of that pod.")
    shared_data: Path = Field(
        default=Path("../shared/data"), description="Folder with benchmark data sets, such as fdh/ (never committed)."
    )


def load_settings(kind: type[SettingsT]) -> SettingsT:
    """Read settings from the environment.

    Raises
    ------
    ConfigError
        Names each wrong variable, without its value.
    """
    try:
        return kind()
    except ValidationError as error:
        wrong = "; ".join(
            f"FRAUD_{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)
        )
        raise ConfigError(f"settings cannot be read: {wrong}") from error
