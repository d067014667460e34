"""Find a model by what a user calls it: a version, an alias, or the folder of an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bentos.core.artifact import Artifact, read_artifact
from bentos.core.errors import RegistryError
from bentos.core.settings import TrainingSettings

__all__ = ["OpenedModel", "open_model"]


@dataclass(frozen=True)
class OpenedModel:
    """A verified artifact, and the trained model behind it when it was asked for and is on record."""

    name: str
    artifact: Artifact
    trained: Any | None


def open_model(settings: TrainingSettings, name: str, *, with_trained: bool = False) -> OpenedModel:
    """Read a model.

    Parameters
    ----------
    name
        A number, "champion" or "challenger", or a path; a path is what holds a slash or exists as a folder.
    with_trained
        Unpickle the trained model too, after its digest was compared with the registry's.

    Raises
    ------
    RegistryError
        When there is no such version.
    ArtifactError
        When the artifact is missing or not sound.
    """
    path = Path(name)
    if "/" in name or path.is_dir():
        inner = path / "artifact"
        folder = inner if inner.is_dir() else path
        return OpenedModel(str(path), read_artifact(folder, public_key=settings.signing_public_key), None)
    from training.registry.client import connect
    from training.registry.versions import fetch_artifact, resolve, trained_model_of

    connection = connect(settings)
    version = resolve(connection, name)
    artifact = fetch_artifact(connection, version, settings)
    trained = None
    if with_trained:
        try:
            trained = trained_model_of(connection, version)
        except RegistryError:
            if "fraud.trained_file" in version.tags:
                raise
    return OpenedModel(f"version {version.number}", artifact, trained)
