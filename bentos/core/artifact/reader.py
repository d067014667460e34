"""Reading an artifact: nothing is handed out before all of it is verified."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from bentos.core.artifact.arrays import unpack_arrays
from bentos.core.artifact.card import ModelCard, Thresholds, parse_document
from bentos.core.artifact.distributions import Distributions, FeatureFile
from bentos.core.artifact.manifest import (
    CARD,
    EXPLAINER,
    FEATURES,
    MANIFEST,
    MANIFEST_BYTES,
    MODEL,
    PAYLOAD,
    SIGNATURE,
    SIGNATURE_BYTES,
    THRESHOLDS,
    Manifest,
    parse_manifest,
    sha256,
)
from bentos.core.artifact.signature import decode_key, verify
from bentos.core.errors import (
    ArtifactCorrupt,
    ArtifactError,
    ArtifactIncompatible,
    ArtifactMissing,
    ConfigError,
    SignatureInvalid,
)
from bentos.core.features import FEATURE_NAMES, FEATURE_SCHEMA

__all__ = ["Artifact", "read_artifact"]

#: Each but the first follows a replacement that was seen; 3 were too few on a busy machine (1 read in 90 failed).
_ATTEMPTS: Final = 20


@dataclass(frozen=True)
class Artifact:
    """A verified artifact, in memory.

    Attributes
    ----------
    onnx
        The model; input "features" float32 [n, 21], outputs "raw_score" and "score" float64 [n].
    explainer
        Arrays for :func:`bentos.core.explain.load_explainer`, read-only.
    defaults
        Feature values when the store cannot be asked, in the order of the features.
    digest
        SHA-256 of the manifest's bytes: one name for the whole.
    """

    kind: str
    onnx: bytes
    explainer: dict[str, NDArray[Any]]
    distributions: Distributions
    defaults: tuple[float, ...]
    thresholds: Thresholds
    card: ModelCard
    manifest: Manifest
    digest: str


def read_artifact(folder: Path, *, public_key: str | None) -> Artifact:
    """Read and verify an artifact.

    Parameters
    ----------
    public_key
        Ed25519 key in base64 that must have signed it. None checks a signature that is there against the key that the
        manifest names, which shows damage but not who signed.

    Raises
    ------
    ArtifactMissing
        No such folder, or an empty one.
    SignatureInvalid
        A key is given, and the signature is missing or not that key's.
    ArtifactCorrupt
        A file is missing, changed, unexpected or unreadable.
    ArtifactIncompatible
        Made for other features or another format version.
    ConfigError
        The public key is malformed.
    """
    trusted = None if public_key is None else decode_key(public_key, "the public key of artifacts")
    for attempt in range(_ATTEMPTS):
        with _opened(folder) as handle:
            try:
                return _read(handle, trusted)
            except ArtifactError:
                # A folder that was replaced meanwhile loses its files while they are read.
                if attempt + 1 == _ATTEMPTS or not _replaced(folder, handle):
                    raise
    raise AssertionError("unreachable")


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ArtifactMissing(
            f"there is no artifact at {folder}: {error.strerror}; `make train` trains and registers a champion and"
            " exports it (`python -m training --help` shows the steps)"
        ) from error
    try:
        yield handle
    finally:
        os.close(handle)


def _replaced(folder: Path, handle: int) -> bool:
    try:
        return not os.path.samestat(os.stat(folder), os.fstat(handle))  # noqa: PTH116 - beside os.fstat
    except OSError:
        return True


def _read(handle: int, trusted: bytes | None) -> Artifact:
    names = set(os.listdir(handle))
    if not names:
        raise ArtifactMissing("the artifact's folder is empty; `make train` trains a model and exports it there")
    index = _read_file(handle, MANIFEST, MANIFEST_BYTES)
    manifest = parse_manifest(index)
    _check_signature(handle, names, manifest, index, trusted)
    extra = names - {*PAYLOAD, MANIFEST, *([SIGNATURE] if manifest.signer is not None else [])}
    if extra:
        raise ArtifactCorrupt(f"the artifact holds files that its manifest does not know: {sorted(extra)}; remove them")
    payload = {}
    for name, limit in PAYLOAD.items():
        payload[name] = _read_file(handle, name, limit)
        entry = manifest.files[name]
        if len(payload[name]) != entry.bytes or sha256(payload[name]) != entry.sha256:
            raise ArtifactCorrupt(
                f"{name} is not as it was written: it has {len(payload[name]):,} bytes with SHA-256"
                f" {sha256(payload[name])}, the manifest says {entry.bytes:,} with {entry.sha256}; export it again"
            )
    features = parse_document(FeatureFile, FEATURES, payload[FEATURES])
    card = parse_document(ModelCard, CARD, payload[CARD])
    _check_features(manifest, features, card)
    return Artifact(
        kind=manifest.kind,
        onnx=payload[MODEL],
        explainer=unpack_arrays(payload[EXPLAINER], EXPLAINER),
        distributions=Distributions(
            # JSON keeps its keys sorted; the columns have their own order.
            features={name: features.distributions.features[name] for name in features.names},
            score=features.distributions.score,
            merchant_category=features.distributions.merchant_category,
        ),
        defaults=tuple(features.defaults),
        thresholds=parse_document(Thresholds, THRESHOLDS, payload[THRESHOLDS]),
        card=card,
        manifest=manifest,
        digest=sha256(index),
    )


def _read_file(handle: int, name: str, limit: int) -> bytes:
    """Bytes of a regular file of an open folder; links are not followed, nothing else is opened."""
    try:
        # Without O_NONBLOCK a named pipe would wait for its writer.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=handle)
        with os.fdopen(file, "rb") as stream:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise ArtifactCorrupt(f"{name} is not a regular file; export the model again")
            if status.st_size > limit:
                raise ArtifactCorrupt(f"{name} has {status.st_size:,} bytes, allowed are {limit:,}")
            return stream.read(limit)
    except FileNotFoundError as error:
        raise ArtifactCorrupt(f"{name} is missing from the artifact; export the model again") from error
    except OSError as error:
        raise ArtifactCorrupt(f"{name} cannot be read: {error.strerror}; links are not followed") from error


def _check_signature(handle: int, names: set[str], manifest: Manifest, index: bytes, trusted: bytes | None) -> None:
    if manifest.signer is None or SIGNATURE not in names:
        if trusted is not None:
            raise SignatureInvalid(
                f"a public key is set, but the artifact has no {SIGNATURE}; export it with"
                " FRAUD_SIGNING_PRIVATE_KEY set"
            )
        if manifest.signer is not None:
            raise ArtifactCorrupt(f"{SIGNATURE} is missing from the artifact; export the model again")
        return
    signature = _read_file(handle, SIGNATURE, SIGNATURE_BYTES)
    if trusted is not None and not verify(trusted, signature, index):
        raise SignatureInvalid(
            f"{SIGNATURE} is not the signature of the public key that is set; the artifact names the signer"
            f" {manifest.signer}. Serve an artifact signed by the right key, or correct FRAUD_SIGNING_PUBLIC_KEY"
        )
    if trusted is None and not verify(_named_key(manifest.signer), signature, index):
        raise ArtifactCorrupt(f"{SIGNATURE} is not as it was written; export the model again")


def _named_key(signer: str) -> bytes:
    try:
        return decode_key(signer)
    except ConfigError as error:
        raise ArtifactCorrupt(f"{MANIFEST} names a signer that is no Ed25519 key") from error


def _check_features(manifest: Manifest, features: FeatureFile, card: ModelCard) -> None:
    schema = manifest.feature_schema
    if {schema, features.feature_schema, card.feature_schema} != {schema}:
        raise ArtifactCorrupt(
            f"the artifact contradicts itself: its files name the feature schemas {schema}, {features.feature_schema}"
            f" and {card.feature_schema}"
        )
    if card.kind != manifest.kind:
        raise ArtifactCorrupt(
            f"the artifact contradicts itself: {CARD} says {card.kind}, {MANIFEST} says {manifest.kind}"
        )
    if schema == FEATURE_SCHEMA and tuple(features.names) == FEATURE_NAMES:
        return
    theirs, ours = set(features.names), set(FEATURE_NAMES)
    if theirs != ours:
        difference = f"only in the model: {sorted(theirs - ours)}; only here: {sorted(ours - theirs)}"
    elif tuple(features.names) != FEATURE_NAMES:
        moved = [name for name, here in zip(features.names, FEATURE_NAMES, strict=True) if name != here]
        difference = f"the same names in another order: {moved}"
    else:
        difference = "the names are the same, a definition differs"
    raise ArtifactIncompatible(
        f"the model was made for the feature schema {schema}, this program computes {FEATURE_SCHEMA} ({difference});"
        " train and export it again, or serve it with the version that made it"
    )
