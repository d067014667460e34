"""A champion, another model that challenges it, and a challenger that a test can spoil."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos.core.artifact import Thresholds, read_artifact, write_artifact
from bentos.fraud.scorer import Scorer
from bentos.fraud.settings import ScoringSettings
from tests.fraud.artifacts import CARD, forest_contents
from tests.fraud.grpc.serving import HOST, Serving, serving_application
from tests.fraud.shadow.peer import Peer, running_peer

#: Of the challenger; the champion has 0.3 and 0.8.
THRESHOLDS = Thresholds(review=0.25, block=0.5)
VERSION = "8"


@pytest.fixture(scope="session")
def challenger_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FRAUD_HOME that holds another model. Not to be written to."""
    home = tmp_path_factory.mktemp("challenger_home")
    card = CARD.model_copy(update={"version": VERSION})
    contents = forest_contents(trees=7, depth=4, thresholds=THRESHOLDS, card=card)
    write_artifact(home / "champion" / "artifact", contents, private_key=None)
    return home


@pytest.fixture(scope="session")
def challenger_scorer(challenger_home: Path) -> Scorer:
    """The challenger, scored directly."""
    return Scorer(read_artifact(challenger_home / "champion" / "artifact", public_key=None))


@pytest.fixture
def challenger(challenger_home: Path, tmp_path: Path) -> Iterator[Serving]:
    """A worker that serves the challenger over gRPC."""
    home = Path(shutil.copytree(challenger_home, tmp_path / "challenger"))

    def settings(port: int) -> ScoringSettings:
        return ScoringSettings(
            home=home, role="challenger", grpc_host=HOST, grpc_port=port, deadline_milliseconds=60_000, job_processes=0
        )

    with serving_application(settings) as serving:
        yield serving


@pytest.fixture
def peer(challenger_scorer: Scorer) -> Iterator[Peer]:
    """A challenger that a test can spoil."""
    with running_peer(challenger_scorer) as running:
        yield running
