"""The manifest: what an artifact is and the SHA-256 of each of its files.

Its bytes have one form only, canonical JSON with a digest of the rest, so that any changed byte shows even where
nobody signs. It names the signer's public key, so that a changed signature shows too; whether that signer is to be
trusted is the reader's question.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bentos.core.errors import ArtifactCorrupt, ArtifactIncompatible

__all__ = [
    "CARD",
    "EXPLAINER",
    "FEATURES",
    "FORMAT_VERSION",
    "KINDS",
    "MANIFEST",
    "MODEL",
    "PAYLOAD",
    "SIGNATURE",
    "THRESHOLDS",
    "Manifest",
    "canonical_json",
    "parse_manifest",
    "sha256",
]

FORMAT_VERSION: Final = 1
KINDS: Final = ("forest", "network")

MODEL: Final = "model.onnx"
EXPLAINER: Final = "explainer.npz"
FEATURES: Final = "features.json"
THRESHOLDS: Final = "thresholds.json"
CARD: Final = "card.json"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"

#: The files a manifest lists, with the most bytes each may have. Nothing else may lie in the folder but the manifest
#: and its signature.
PAYLOAD: Final[dict[str, int]] = {
    MODEL: 512 << 20,
    EXPLAINER: 512 << 20,
    FEATURES: 4 << 20,
    THRESHOLDS: 64 << 10,
    CARD: 4 << 20,
}
MANIFEST_BYTES: Final = 64 << 10
SIGNATURE_BYTES: Final = 64

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def sha256(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def canonical_json(value: Any) -> bytes:
    """The one form in which this package writes JSON: sorted keys, no NaN, a newline at the end."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()


class FileEntry(BaseModel):
    """Size and digest of one file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    bytes: int = Field(ge=0)
    sha256: Digest


class Manifest(BaseModel):
    """Index of an artifact."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format_version: Literal[1] = FORMAT_VERSION
    kind: Literal["forest", "network"] = Field(description="What model.onnx and explainer.npz hold.")
    feature_schema: str = Field(
        min_length=1, max_length=128, description="Digest of the features the model was made for."
    )
    signer: str | None = Field(
        default=None, description="Ed25519 public key of manifest.sig, base64; null when unsigned."
    )
    files: dict[str, FileEntry] = Field(description="Every file but the manifest and its signature.")

    def to_bytes(self) -> bytes:
        """The manifest as it stands in the folder."""
        fields = self.model_dump(mode="json")
        return canonical_json({**fields, "digest": sha256(canonical_json(fields))})


def parse_manifest(content: bytes) -> Manifest:
    """Read a manifest and check that no byte of it changed.

    Raises
    ------
    ArtifactCorrupt
        It is no manifest, or not as it was written.
    ArtifactIncompatible
        It is of another format version.
    """
    try:
        fields = json.loads(content)
        digest = fields.pop("digest")
        whole = sha256(canonical_json(fields)) == digest and canonical_json({**fields, "digest": digest}) == content
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactCorrupt(f"{MANIFEST} cannot be read: {error}; export the model again") from error
    if not whole:
        raise ArtifactCorrupt(f"{MANIFEST} is not as it was written; export the model again")
    version = fields.get("format_version")
    if version != FORMAT_VERSION:
        raise ArtifactIncompatible(
            f"the artifact has format version {version!r}, this program reads {FORMAT_VERSION}; export the model"
            " with the version that serves it"
        )
    try:
        manifest = Manifest.model_validate(fields)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)
        )
        raise ArtifactCorrupt(f"{MANIFEST} is not a manifest: {problems}") from error
    if manifest.files.keys() != PAYLOAD.keys():
        # Names are compared with the known ones and never joined to a path, so none can lead elsewhere.
        raise ArtifactCorrupt(f"{MANIFEST} lists {sorted(manifest.files)}, an artifact holds {sorted(PAYLOAD)}")
    return manifest
