"""A snapshot holds what a replay of the same table would have left, under pseudonyms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bentos.core.errors import ArtifactCorrupt, ArtifactIncompatible, ArtifactMissing
from bentos.core.features.history import CATEGORY, CUSTOMER, EXACT_EVENTS, KINDS, MERCHANT
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.features.snapshot import read_snapshot, write_snapshot
from tests.core.features.replay import replay
from tests.core.features.tables import DAY, START, canonical
from tests.core.features.test_equality import busy_table

SECRET = Pseudonyms("secret")


@pytest.fixture(scope="module")
def snapshot_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("snapshot") / "snapshot.npz"
    write_snapshot(canonical([{"timestamp": START, "customer_id": "alice"}]), path, SECRET)
    return path


def test_snapshot_equals_replay(tmp_path: Path) -> None:
    table = busy_table(EXACT_EVENTS + 500, seed=2)
    _, store = replay(table)
    write_snapshot(table, tmp_path / "s.npz", SECRET)
    snapshot = read_snapshot(tmp_path / "s.npz")
    for kind, name in ((CUSTOMER, "c0"), (MERCHANT, "m0"), (CATEGORY, "unknown")):
        stored, state = snapshot.states[kind.name], store.state(kind, name)
        assert stored.hashes.tobytes() == SECRET.key(kind, name)
        assert stored.buckets[0] == state.buckets > 0
        for part in ("time", "amount", "squares", "count", "frauds"):
            # The replay still holds labels that came after their events had folded and left.
            np.testing.assert_allclose(stored.cells[part], state.cells[part], rtol=1e-12, err_msg=part)


def test_no_identifier_is_in_the_file(snapshot_file: Path) -> None:
    with np.load(snapshot_file) as arrays:
        content = b"".join(arrays[name].tobytes() for name in arrays.files)
    assert b"alice" not in content
    assert Pseudonyms("").key(KINDS[0], "alice") not in content


def test_labels_unknown_at_the_end_are_left_out(tmp_path: Path) -> None:
    rows = [
        {"timestamp": START, "is_fraud": True},
        {"timestamp": START + DAY, "is_fraud": True, "label_timestamp": START + 30 * DAY},
        {"timestamp": START + 8 * DAY, "is_fraud": True},
    ]
    write_snapshot(canonical(rows), tmp_path / "s.npz", SECRET)
    for kind in KINDS:
        assert read_snapshot(tmp_path / "s.npz").states[kind.name].cells["frauds"].tolist() == [1, 0, 0]


def test_a_missing_snapshot_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match=r"nothing\.npz"):
        read_snapshot(tmp_path / "nothing.npz")


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_a_truncated_snapshot_is_refused(tmp_path: Path, snapshot_file: Path, cut: int) -> None:
    (tmp_path / "s.npz").write_bytes(snapshot_file.read_bytes()[:cut])
    with pytest.raises(ArtifactCorrupt):
        read_snapshot(tmp_path / "s.npz")


def test_a_snapshot_of_other_features_is_refused(tmp_path: Path, snapshot_file: Path) -> None:
    with np.load(snapshot_file) as arrays:
        parts = dict(arrays)
    head = parts["head"].tobytes().replace(b'"feature_schema": "', b'"feature_schema": "other')
    parts["head"] = np.frombuffer(head, np.uint8)
    np.savez(tmp_path / "s.npz", **parts)
    with pytest.raises(ArtifactIncompatible, match="other"):
        read_snapshot(tmp_path / "s.npz")


def test_states_that_do_not_fit_together_are_refused(tmp_path: Path, snapshot_file: Path) -> None:
    with np.load(snapshot_file) as arrays:
        parts = dict(arrays)
    parts["customer.offsets"] = np.array([0, 1000])
    np.savez(tmp_path / "s.npz", **parts)
    with pytest.raises(ArtifactCorrupt, match="customer"):
        read_snapshot(tmp_path / "s.npz")
