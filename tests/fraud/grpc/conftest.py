"""A worker that serves gRPC, and a channel to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from bentos.fraud.settings import ScoringSettings
from tests.fraud.grpc.serving import HOST, Serving, serving_application


@pytest.fixture(scope="module")
def serving(champion_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A whole worker."""
    home = Path(shutil.copytree(champion_home, tmp_path_factory.mktemp("grpc") / "home"))

    def settings(port: int) -> ScoringSettings:
        # A machine that is busy with other tests is no reason to refuse.
        return ScoringSettings(home=home, grpc_host=HOST, grpc_port=port, deadline_milliseconds=60_000)

    with serving_application(settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def channel(serving: Serving) -> Iterator[grpc.Channel]:
    """A channel to it."""
    with serving.channel() as opened:
        yield opened
