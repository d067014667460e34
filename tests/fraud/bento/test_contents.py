from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bentos.core.artifact import read_artifact
from bentos.core.errors import ArtifactCorrupt
from bentos.fraud.settings import ScoringSettings

pytestmark = pytest.mark.usefixtures("imported_bentoml")


def _pack(home: Path, target: Path) -> Path:
    from bentos.fraud.bento.contents import pack_champion

    target.mkdir()
    pack_champion(ScoringSettings(home=home), target)
    return target


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_links_become_files(home: Path, tmp_path: Path) -> None:
    champion = home / "champion"
    (champion / "snapshot").mkdir()
    (champion / "snapshot" / "features.npz").write_bytes(b"states")
    (home / "versions").mkdir()
    shutil.move(champion, home / "versions" / "7")
    champion.symlink_to(home / "versions" / "7")

    target = _pack(home, tmp_path / "src")

    original = read_artifact(home / "versions" / "7" / "artifact", public_key=None)
    assert read_artifact(target / "artifact", public_key=None).digest == original.digest
    assert (target / "snapshot" / "features.npz").read_bytes() == b"states"
    assert not any(path.is_symlink() for path in target.rglob("*"))


def test_a_snapshot_may_be_missing_or_a_file(home: Path, tmp_path: Path) -> None:
    assert not (_pack(home, tmp_path / "without") / "snapshot").exists()
    (home / "champion" / "snapshot").write_bytes(b"states")
    assert (_pack(home, tmp_path / "with") / "snapshot" / "features.npz").read_bytes() == b"states"


def test_a_damaged_artifact_is_not_packed(home: Path, tmp_path: Path) -> None:
    (home / "champion" / "artifact" / "explainer.npz").write_bytes(b"damaged")
    with pytest.raises(ArtifactCorrupt):
        _pack(home, tmp_path / "src")
