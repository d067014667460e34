"""Fixtures that every package's tests share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from bentos.core.settings import TrainingSettings, load_settings

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("busy", deadline=None)
hypothesis.settings.load_profile("busy")


@pytest.fixture(scope="session", autouse=True)
def _memory_of_stores() -> Iterator[None]:
    """Feature stores lie in a folder of the tests' own in memory, servers' too, and do not stay there."""
    with (
        tempfile.TemporaryDirectory(prefix="fraud-tests-", dir="/dev/shm", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("FRAUD_FEATURE_MEMORY_FOLDER", folder)
        yield


@pytest.fixture(scope="session")
def fdh_folder() -> Path:
    """Folder of the Fraud Detection Handbook's data; tests that need it skip without, but fail in CI."""
    folder = load_settings(TrainingSettings).shared_data / "fdh"
    if not (folder / "fdh_transactions_raw.parquet").is_file():
        message = f"the handbook's data is not at {folder}; set FRAUD_SHARED_DATA to the folder that holds fdh/"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder
