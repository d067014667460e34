"""The model of the test servers, and feature rows for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bentos.core.artifact import read_artifact
from bentos.fraud.scorer import FloatArray, Scorer
from bentos.fraud.settings import ScoringSettings
from tests.fraud.artifacts import training_rows
from tests.fraud.grpc.serving import HOST, serving_application


@pytest.fixture(scope="session")
def scorer(champion_home: Path) -> Scorer:
    """The champion, scored directly."""
    return Scorer(read_artifact(champion_home / "champion" / "artifact", public_key=None))


@pytest.fixture(scope="session")
def rows() -> FloatArray:
    """Feature rows, float64 [200, 21], that float32 holds exactly."""
    return training_rows()[0][:200].astype(np.float64)


@pytest.fixture(scope="session")
def grpc_address(champion_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a worker serves gRPC."""
    home = Path(shutil.copytree(champion_home, tmp_path_factory.mktemp("inference") / "home"))

    def settings(port: int) -> ScoringSettings:
        # A machine that is busy with other tests is no reason to refuse.
        return ScoringSettings(home=home, grpc_host=HOST, grpc_port=port, deadline_milliseconds=60_000)

    with serving_application(settings) as serving:
        yield serving.address
