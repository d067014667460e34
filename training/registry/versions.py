"""Read the registry: list versions, resolve an alias, fetch what a version carries."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bentos.core.artifact import Artifact, read_artifact
from bentos.core.errors import ArtifactError, RegistryError
from bentos.core.registered import CHALLENGER, CHAMPION, COMPLETE, MODEL_NAME, STATE
from bentos.core.settings import TrainingSettings
from training.evaluate.evaluation import HeldOut
from training.registry.client import Connection, connect, translated
from training.registry.model import load_trained

__all__ = [
    "Version",
    "evaluation_of",
    "export_version",
    "fetch_artifact",
    "fetch_snapshot",
    "held_out_of",
    "list_versions",
    "resolve",
    "trained_model_of",
]


@dataclass(frozen=True)
class Version:
    """A complete version: number, run, aliases, tags, and when it was made (milliseconds since 1970, UTC)."""

    number: str
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    created_ms: int

    def metric(self, name: str) -> float:
        """Mean of a metric over the evaluation's folds; NaN when it is not on record."""
        return float(self.tags.get(f"fraud.metric.{name}", "nan"))


def list_versions(connection: Connection) -> list[Version]:
    """All complete versions, the newest first."""
    client = connection.client
    with translated(connection.uri, "listing the versions"):
        aliases = dict(client.get_registered_model(MODEL_NAME).aliases)
        found: list[Any] = []
        token = None
        while True:
            page = client.search_model_versions(f"name = '{MODEL_NAME}'", max_results=1000, page_token=token)
            found += page
            token = page.token
            if not token:
                break
    versions = [
        Version(
            str(item.version),
            str(item.run_id),
            tuple(sorted(alias for alias, number in aliases.items() if str(number) == str(item.version))),
            dict(item.tags),
            int(item.creation_timestamp),
        )
        for item in found
        if item.tags.get(STATE) == COMPLETE
    ]
    return sorted(versions, key=lambda item: int(item.number), reverse=True)


def resolve(connection: Connection, name: str) -> Version:
    """The version of a number or an alias.

    Raises
    ------
    RegistryError
        When there is none; says which there are and what to run.
    """
    versions = list_versions(connection)
    for item in versions:
        if name == item.number or name in item.aliases:
            return item
    if not versions:
        raise RegistryError(
            f"there is no model in {connection.uri} yet, so no {name!r}: run `python -m training train`, then"
            " `python -m training promote`"
        )
    if name == CHAMPION:
        raise RegistryError(
            f"no version is champion yet ({len(versions)} are registered, the newest is {versions[0].number}):"
            " run `python -m training promote`"
        )
    known = ", ".join(item.number for item in versions[:10])
    given = ", ".join(sorted(alias for item in versions for alias in item.aliases)) or "none"
    raise RegistryError(f"{MODEL_NAME} has no version or alias {name!r}; versions: {known}; aliases: {given}")


@contextlib.contextmanager
def _downloaded(connection: Connection, version: Version, path: str) -> Iterator[Path]:
    """A run's artifact in a temporary folder, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="fraud-fetch-") as name:
        with translated(connection.uri, f"fetching {path} of version {version.number}"):
            local = connection.client.download_artifacts(version.run_id, path, name)
        yield Path(local)


def evaluation_of(connection: Connection, version: Version) -> dict[str, Any]:
    """The evaluation as it was logged, see ``Evaluation.to_dict``."""
    with _downloaded(connection, version, "evaluation.json") as path:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return result


def held_out_of(connection: Connection, version: Version) -> HeldOut:
    """The held-out rows with the version's scores, as they were logged."""
    with _downloaded(connection, version, "held_out.parquet") as path:
        return HeldOut(pd.read_parquet(path))


def trained_model_of(connection: Connection, version: Version) -> Any:
    """The trained model of a version, unpickled after its digest was compared.

    Raises
    ------
    RegistryError
        When none was logged, or the file was changed.
    """
    file, digest = version.tags.get("fraud.trained_file"), version.tags.get("fraud.trained_sha256")
    if file is None or digest is None:
        raise RegistryError(
            f"version {version.number} was registered from an artifact alone: there is no pipeline to load"
        )
    with _downloaded(connection, version, file) as path:
        return load_trained(path, digest)


def fetch_artifact(connection: Connection, version: Version, settings: TrainingSettings) -> Artifact:
    """Read and verify a version's artifact; its digest must be the one on record.

    Raises
    ------
    RegistryError
        When the artifact is not the one that was registered.
    ArtifactError
        When it is not sound.
    """
    with _downloaded(connection, version, "artifact") as path:
        return _verified(version, path, settings)


def _verified(version: Version, path: Path, settings: TrainingSettings) -> Artifact:
    try:
        artifact = read_artifact(path, public_key=settings.signing_public_key)
    except ArtifactError as error:
        error.add_note(f"it was fetched as the artifact of version {version.number}")
        raise
    expected = version.tags.get("fraud.artifact_digest")
    if artifact.digest != expected:
        raise RegistryError(
            f"the artifact of version {version.number} has the digest {artifact.digest}, {expected} was registered:"
            " it was replaced; train again or restore it"
        )
    return artifact


def fetch_snapshot(connection: Connection, version: Version, folder: Path) -> Path | None:
    """Copy a version's feature snapshot into ``folder``; None when it has none."""
    if "fraud.snapshot" not in version.tags:
        return None
    with _downloaded(connection, version, "snapshot") as path:
        shutil.copytree(path, folder)
    return folder


def export_version(settings: TrainingSettings, name: str, output: Path) -> Version:
    """Write a version's artifact, and its snapshot if there is one, to ``output/artifact`` and ``output/snapshot``.

    The folder appears as a whole or not at all.

    Raises
    ------
    RegistryError
        When there is no such version, or ``output`` exists.
    """
    connection = connect(settings)
    version = resolve(connection, name)
    if output.exists():
        raise RegistryError(f"{output} exists already: name a folder that does not, nothing is overwritten")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as temporary:
            content = Path(temporary) / "content"
            copy_version(connection, version, settings, content)
            content.rename(output)
    except OSError as error:
        raise RegistryError(f"{output} cannot be written: {error.strerror}; check space and permissions") from error
    return version


def copy_version(connection: Connection, version: Version, settings: TrainingSettings, folder: Path) -> None:
    """Fill a new folder with ``artifact/`` and, when the version has one, ``snapshot/``; the artifact is verified."""
    folder.mkdir(parents=True)
    with _downloaded(connection, version, "artifact") as path:
        _verified(version, path, settings)
        shutil.copytree(path, folder / "artifact")
    fetch_snapshot(connection, version, folder / "snapshot")


def default_candidate(connection: Connection) -> Version:
    """The challenger; when no alias is set, the newest version."""
    versions = list_versions(connection)
    for item in versions:
        if CHALLENGER in item.aliases:
            return item
    return versions[0] if versions else resolve(connection, CHALLENGER)
