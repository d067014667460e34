"""Feature rows that come in any order."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from bentos.core.features import FEATURES
from bentos.fraud.bulk import feature_files
from bentos.fraud.bulk.chunks import features_name, read_features
from bentos.fraud.bulk.feature_files import FeatureFiles

STARTS = [0, 40, 80, 95]
BAD = np.array([3, 41, 79, *range(80, 95)])


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("seed", [None, 1, 2])
@pytest.mark.parametrize("kept_bytes", [feature_files._MAPPED_BYTES, 1], ids=["kept", "forgotten"])
def test_each_row_lies_in_its_place(
    tmp_path: Path, scratch: Path, seed: int | None, kept_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_files, "_MAPPED_BYTES", kept_bytes)
    places = np.setdiff1d(np.arange(95), BAD)
    if seed is not None:
        np.random.default_rng(seed).shuffle(places)
    wanted = np.random.default_rng(0).random((95, len(FEATURES)))
    with FeatureFiles(tmp_path, scratch, STARTS, BAD) as files:
        for part in np.array_split(places, 7):
            files.put(part, wanted[part])
    wanted[BAD] = np.nan
    found = [read_features(tmp_path / features_name(chunk)) for chunk in range(3)]
    assert [len(part) for part in found] == [40, 40, 15]
    np.testing.assert_array_equal(np.concatenate(found), wanted)
    assert not list(scratch.iterdir())


def test_a_chunk_is_left_when_its_last_row_has_come(tmp_path: Path, scratch: Path) -> None:
    rows = np.zeros((50, len(FEATURES)))
    with FeatureFiles(tmp_path, scratch, [0, 40, 80], np.empty(0, np.int64)) as files:
        files.put(np.arange(50), rows)
        files._leaving[0].result()
        assert [path.name for path in tmp_path.glob("*.npy")] == [features_name(0)]
        files.put(np.arange(50, 80), rows[:30])
    assert (tmp_path / features_name(1)).exists()


def test_what_is_left_off_leaves_no_chunk_that_is_not_whole(tmp_path: Path, scratch: Path) -> None:
    files = FeatureFiles(tmp_path, scratch, [0, 40, 80], np.empty(0, np.int64))

    def interrupted() -> None:
        with files:
            files.put(np.arange(50), np.zeros((50, len(FEATURES))))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.glob("*.npy")] == [features_name(0)]


def test_a_full_disk_is_told_before_a_row_is_written(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int, _start: int, _length: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with (
        pytest.raises(OSError, match="no space left"),
        FeatureFiles(tmp_path, scratch, [0, 40], np.empty(0, np.int64)) as files,
    ):
        files.put(np.arange(40), np.zeros((40, len(FEATURES))))
