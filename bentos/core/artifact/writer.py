"""Writing an artifact: all of it or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from bentos.core.artifact.arrays import pack_arrays
from bentos.core.artifact.card import ModelCard, Thresholds
from bentos.core.artifact.distributions import Distributions, FeatureFile
from bentos.core.artifact.folder import interrupt_later, write_folder
from bentos.core.artifact.manifest import (
    CARD,
    EXPLAINER,
    FEATURES,
    MANIFEST,
    MODEL,
    PAYLOAD,
    SIGNATURE,
    THRESHOLDS,
    FileEntry,
    Manifest,
    sha256,
)
from bentos.core.artifact.signature import public_key_of, sign
from bentos.core.errors import ArtifactError, ArtifactIncompatible
from bentos.core.features import FEATURE_NAMES, FEATURE_SCHEMA
from bentos.core.features import FEATURES as DEFINITIONS

__all__ = ["ArtifactContents", "write_artifact"]


@dataclass(frozen=True)
class ArtifactContents:
    """What an artifact holds.

    Attributes
    ----------
    kind
        What the model is.
    onnx
        Input "features" float32 [n, 21]; outputs "raw_score" and "score", float64 [n].
    explainer
        Arrays for :func:`bentos.core.explain.load_explainer`.
    distributions
        Of the training rows, in the order of the features.
    """

    kind: Literal["forest", "network"]
    onnx: bytes
    explainer: Mapping[str, NDArray[Any]]
    distributions: Distributions
    thresholds: Thresholds
    card: ModelCard


def write_artifact(folder: Path, contents: ArtifactContents, *, private_key: bytes | None) -> Manifest:
    """Write an artifact, in the place of one that stands there.

    Parameters
    ----------
    folder
        Made with its parents. A folder that holds anything but an artifact is refused, not replaced.
    private_key
        32 bytes of an Ed25519 key; None leaves the artifact unsigned.

    Returns
    -------
    The manifest that now lies in the folder.

    Raises
    ------
    ArtifactIncompatible
        The card or the distributions are of other features than this program computes.
    ArtifactError
        It cannot be written; what stood there before is untouched.
    """
    # A zip file that is interrupted in the midst of packing raises an error of its own instead.
    with interrupt_later():
        _check(contents)
        payload = _pack(contents)
        manifest = Manifest(
            kind=contents.kind,
            feature_schema=FEATURE_SCHEMA,
            signer=None if private_key is None else public_key_of(private_key),
            files={name: FileEntry(bytes=len(content), sha256=sha256(content)) for name, content in payload.items()},
        )
        index = manifest.to_bytes()
        files = {**payload, MANIFEST: index}
        if private_key is not None:
            files[SIGNATURE] = sign(private_key, index)
        try:
            _refuse_others(folder)
            write_folder(folder, files)
        except OSError as error:
            raise ArtifactError(
                f"the artifact cannot be written to {folder}: {error.strerror or error}; make room or choose another"
                " folder. What stood there is untouched"
            ) from error
    return manifest


def _pack(contents: ArtifactContents) -> dict[str, bytes]:
    payload = {
        MODEL: contents.onnx,
        EXPLAINER: pack_arrays(contents.explainer),
        FEATURES: FeatureFile(
            feature_schema=FEATURE_SCHEMA,
            names=list(FEATURE_NAMES),
            defaults=[float(feature.default) for feature in DEFINITIONS],
            distributions=contents.distributions,
        ).to_bytes(),
        THRESHOLDS: contents.thresholds.to_bytes(),
        CARD: contents.card.to_bytes(),
    }
    for name, content in payload.items():
        if len(content) > PAYLOAD[name]:
            raise ArtifactError(
                f"{name} would have {len(content):,} bytes, allowed are {PAYLOAD[name]:,}; make a smaller model"
            )
    return payload


def _check(contents: ArtifactContents) -> None:
    if contents.card.feature_schema != FEATURE_SCHEMA:
        raise ArtifactIncompatible(
            f"the model was trained on the features {contents.card.feature_schema}, this program computes"
            f" {FEATURE_SCHEMA}; train it again"
        )
    if contents.card.kind != contents.kind:
        raise ArtifactError(f"the card describes a {contents.card.kind}, the model is a {contents.kind}")
    if tuple(contents.distributions.features) != FEATURE_NAMES:
        raise ArtifactIncompatible(
            f"the distributions are of {list(contents.distributions.features)}, needed are {list(FEATURE_NAMES)}"
        )


def _refuse_others(folder: Path) -> None:
    """A mistyped path must not cost anybody a folder."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise ArtifactError(f"{folder} holds something else than an artifact and is left alone; choose another folder")
