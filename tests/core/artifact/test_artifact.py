"""What is written is what is read, and every byte is checked."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from bentos.core.artifact import generate_keys, read_artifact, write_artifact
from bentos.core.artifact.manifest import MANIFEST, PAYLOAD, SIGNATURE, canonical_json, sha256
from bentos.core.artifact.signature import decode_key
from bentos.core.errors import (
    ArtifactCorrupt,
    ArtifactError,
    ArtifactIncompatible,
    ArtifactMissing,
    ConfigError,
    SignatureInvalid,
)
from bentos.core.features import FEATURE_NAMES, FEATURE_SCHEMA, FEATURES
from tests.core.artifact.contents import contents

PRIVATE, PUBLIC = generate_keys()
_, OTHER_PUBLIC = generate_keys()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_artifact(tmp_path / "artifact", contents(), private_key=decode_key(PRIVATE))
    return tmp_path / "artifact"


def rewrite(folder: Path, name: str, content: bytes) -> None:
    """Change a file and the manifest with it, as somebody would who knows the format but not the key."""
    (folder / name).write_bytes(content)
    fields = json.loads((folder / MANIFEST).read_bytes())
    fields["files"][name] = {"bytes": len(content), "sha256": sha256(content)}
    rewrite_manifest(folder, fields)


def rewrite_manifest(folder: Path, fields: dict[str, object]) -> None:
    fields = {**fields, "signer": None}
    fields.pop("digest", None)
    (folder / MANIFEST).write_bytes(canonical_json({**fields, "digest": sha256(canonical_json(fields))}))
    (folder / SIGNATURE).unlink(missing_ok=True)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    given = contents()
    manifest = write_artifact(tmp_path / "deep" / "artifact", given, private_key=None)
    artifact = read_artifact(tmp_path / "deep" / "artifact", public_key=None)

    assert artifact.onnx == given.onnx
    assert artifact.card == given.card
    assert artifact.thresholds == given.thresholds
    assert artifact.distributions == given.distributions
    assert tuple(artifact.distributions.features) == FEATURE_NAMES
    assert artifact.defaults == tuple(feature.default for feature in FEATURES)
    assert artifact.manifest == manifest
    assert artifact.digest == sha256((tmp_path / "deep" / "artifact" / MANIFEST).read_bytes())
    assert artifact.explainer.keys() == given.explainer.keys()
    for name, array in given.explainer.items():
        np.testing.assert_array_equal(artifact.explainer[name], array)
        assert artifact.explainer[name].dtype == array.dtype
        assert not artifact.explainer[name].flags.writeable


def test_the_explainer_is_an_ordinary_npz(folder: Path) -> None:
    with np.load(folder / "explainer.npz", allow_pickle=False) as arrays:
        assert sorted(arrays.files) == ["clip", "offsets", "value"]
        np.testing.assert_array_equal(arrays["offsets"], [0, 3])


def test_the_same_contents_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_artifact(tmp_path / name, contents(), private_key=None)
    for name in (*PAYLOAD, MANIFEST):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_others_may_read_it(folder: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    assert folder.stat().st_mode & 0o777 == 0o777 & ~mask


@pytest.mark.parametrize("public_key", [None, PUBLIC], ids=["unchecked signer", "trusted signer"])
def test_a_signed_artifact_is_read(folder: Path, public_key: str | None) -> None:
    assert read_artifact(folder, public_key=public_key).manifest.signer == PUBLIC


@pytest.mark.parametrize("name", [*PAYLOAD, MANIFEST, SIGNATURE])
def test_a_changed_byte_names_its_file(folder: Path, name: str) -> None:
    path = folder / name
    original = path.read_bytes()
    for place in {0, len(original) // 3, len(original) // 2, len(original) - 1}:
        changed = bytearray(original)
        changed[place] ^= 1
        path.write_bytes(bytes(changed))
        with pytest.raises(ArtifactCorrupt, match=re.escape(name)):
            read_artifact(folder, public_key=None)
    path.write_bytes(original)
    read_artifact(folder, public_key=None)


def test_no_part_of_the_manifest_can_change(folder: Path) -> None:
    original = (folder / MANIFEST).read_bytes()
    for place in range(0, len(original), 3):
        changed = bytearray(original)
        changed[place] ^= 1 << (place % 8)
        (folder / MANIFEST).write_bytes(bytes(changed))
        with pytest.raises(ArtifactCorrupt, match=MANIFEST):
            read_artifact(folder, public_key=None)


@pytest.mark.parametrize("name", [*PAYLOAD, MANIFEST, SIGNATURE])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ArtifactCorrupt, match=f"{re.escape(name)} is missing"):
        read_artifact(folder, public_key=None)


@pytest.mark.parametrize("name", [*PAYLOAD, MANIFEST])
def test_a_shortened_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-5])
    with pytest.raises(ArtifactCorrupt, match=re.escape(name)):
        read_artifact(folder, public_key=None)


def test_an_extra_file_is_named(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(b"cos\nsystem\n")
    with pytest.raises(ArtifactCorrupt, match=r"model\.pkl"):
        read_artifact(folder, public_key=None)


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "model.onnx").rename(tmp_path / "elsewhere")
    (folder / "model.onnx").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactCorrupt, match=r"model\.onnx.*links"):
        read_artifact(folder, public_key=None)


def test_a_pipe_does_not_block(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")
    with pytest.raises(ArtifactCorrupt, match=r"model\.onnx is not a regular file"):
        read_artifact(folder, public_key=None)


def test_a_huge_file_is_not_read(folder: Path) -> None:
    os.truncate(folder / "model.onnx", 1 << 40)  # sparse: it takes no room
    with pytest.raises(ArtifactCorrupt, match=r"model\.onnx has 1,099,511,627,776 bytes"):
        read_artifact(folder, public_key=None)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "model.onnx/../card.json"])
def test_a_manifest_cannot_lead_elsewhere(folder: Path, name: str) -> None:
    fields = json.loads((folder / MANIFEST).read_bytes())
    fields["files"][name] = fields["files"].pop("model.onnx")
    rewrite_manifest(folder, fields)
    with pytest.raises(ArtifactCorrupt, match="lists"):
        read_artifact(folder, public_key=None)


def test_another_format_version_is_refused(folder: Path) -> None:
    rewrite_manifest(folder, {**json.loads((folder / MANIFEST).read_bytes()), "format_version": 2, "novelty": True})
    with pytest.raises(ArtifactIncompatible, match="format version 2, this program reads 1"):
        read_artifact(folder, public_key=None)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b"[" * 30_000, b'{"digest": "x"}'])
def test_a_manifest_that_is_none(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(ArtifactCorrupt, match=MANIFEST):
        read_artifact(folder, public_key=None)


def with_schema(folder: Path, schema: str, names: list[str]) -> None:
    features = json.loads((folder / "features.json").read_bytes())
    histogram = features["distributions"]["score"]
    features |= {"feature_schema": schema, "names": names, "defaults": [0.0] * len(names)}
    features["distributions"]["features"] = dict.fromkeys(names, histogram)
    rewrite(folder, "features.json", canonical_json(features))
    card = json.loads((folder / "card.json").read_bytes())
    rewrite(folder, "card.json", canonical_json({**card, "feature_schema": schema}))
    rewrite_manifest(folder, {**json.loads((folder / MANIFEST).read_bytes()), "feature_schema": schema})


def test_another_feature_schema_names_what_differs(folder: Path) -> None:
    with_schema(folder, "e" * 64, [*FEATURE_NAMES[:-1], "distance_miles"])
    with pytest.raises(ArtifactIncompatible) as caught:
        read_artifact(folder, public_key=None)
    for part in ("e" * 64, FEATURE_SCHEMA, "distance_miles", "distance_km"):
        assert part in str(caught.value)
    assert "amount" not in str(caught.value)


def test_another_order_of_features_is_refused(folder: Path) -> None:
    with_schema(folder, FEATURE_SCHEMA, [FEATURE_NAMES[1], FEATURE_NAMES[0], *FEATURE_NAMES[2:]])
    with pytest.raises(ArtifactIncompatible, match=r"another order: \['hour', 'amount'\]"):
        read_artifact(folder, public_key=None)


def test_another_definition_of_the_same_features_is_refused(folder: Path) -> None:
    with_schema(folder, "e" * 64, list(FEATURE_NAMES))
    with pytest.raises(ArtifactIncompatible, match="a definition differs"):
        read_artifact(folder, public_key=None)


def test_files_that_contradict_each_other_are_refused(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_bytes())
    rewrite(folder, "card.json", canonical_json({**card, "feature_schema": "e" * 64}))
    with pytest.raises(ArtifactCorrupt, match="contradicts itself"):
        read_artifact(folder, public_key=None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("card.json", b"{}"),
        ("thresholds.json", b'{"review": 0.9, "block": 0.1}'),
        ("thresholds.json", b'{"review": NaN, "block": 0.1}'),
        ("features.json", b'{"names": []}'),
        ("explainer.npz", b"PK no zip"),
    ],
)
def test_a_file_of_wrong_content_is_named(folder: Path, name: str, content: bytes) -> None:
    rewrite(folder, name, content)
    with pytest.raises(ArtifactCorrupt, match=re.escape(name)):
        read_artifact(folder, public_key=None)


def test_a_missing_folder_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match="make train"):
        read_artifact(tmp_path / "nowhere", public_key=None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactMissing, match="make train"):
        read_artifact(tmp_path / "empty", public_key=None)


def test_an_unsigned_artifact_is_refused_where_a_key_is_set(tmp_path: Path) -> None:
    write_artifact(tmp_path / "artifact", contents(), private_key=None)
    with pytest.raises(SignatureInvalid, match="FRAUD_SIGNING_PRIVATE_KEY"):
        read_artifact(tmp_path / "artifact", public_key=PUBLIC)


def test_another_signer_is_refused(folder: Path) -> None:
    with pytest.raises(SignatureInvalid, match="not the signature of the public key"):
        read_artifact(folder, public_key=OTHER_PUBLIC)


def test_a_forged_model_is_refused_where_a_key_is_set(folder: Path) -> None:
    signature = (folder / SIGNATURE).read_bytes()
    rewrite(folder, "model.onnx", b"another model")
    assert read_artifact(folder, public_key=None).onnx == b"another model"
    fields = json.loads((folder / MANIFEST).read_bytes())
    rewrite_manifest(folder, fields)
    (folder / SIGNATURE).write_bytes(signature)
    with pytest.raises(SignatureInvalid):
        read_artifact(folder, public_key=PUBLIC)


def test_a_malformed_key_is_not_repeated() -> None:
    for text in ("secret!", "c2VjcmV0", ""):
        with pytest.raises(ConfigError, match="32 bytes in base64") as caught:
            decode_key(text, "FRAUD_SIGNING_PRIVATE_KEY")
        assert text not in str(caught.value) or not text
    with pytest.raises(ConfigError, match="has 3"):
        write_artifact(Path("unused"), contents(), private_key=b"abc")


def test_a_model_of_other_features_is_not_written(tmp_path: Path) -> None:
    card = contents().card.model_copy(update={"feature_schema": "e" * 64})
    with pytest.raises(ArtifactIncompatible, match="train it again"):
        write_artifact(tmp_path / "artifact", contents(card=card), private_key=None)
    assert not list(tmp_path.iterdir())


def test_a_card_of_another_kind_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="describes a forest, the model is a network"):
        write_artifact(tmp_path / "artifact", contents(kind="network"), private_key=None)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "wedding.jpg").write_bytes(b"dear")
    with pytest.raises(ArtifactError, match="something else"):
        write_artifact(tmp_path / "photos", contents(), private_key=None)
    assert (tmp_path / "photos" / "wedding.jpg").read_bytes() == b"dear"


def test_objects_are_not_stored(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="Python objects"):
        write_artifact(tmp_path / "artifact", contents(explainer={"x": np.array([object()])}), private_key=None)
    assert not list(tmp_path.iterdir())
