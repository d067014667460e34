"""A worker whose model another server runs, and that server."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from bentos.core.artifact import read_artifact
from bentos.fraud.application import Application
from bentos.fraud.records.database import upgrade
from bentos.fraud.scorer import Scorer
from bentos.fraud.settings import ScoringSettings
from tests.fraud.blocking import running_application
from tests.fraud.grpc.serving import HOST, Serving, serving_application
from tests.fraud.remote.peer import Peer, running_peer

SECONDS = 60.0
#: What a server may take on a machine that is busy with other tests.
PATIENT = 20_000
Open = Callable[..., Application]


@pytest.fixture(scope="session")
def scorer(champion_home: Path) -> Scorer:
    """The champion, scored directly."""
    return Scorer(read_artifact(champion_home / "champion" / "artifact", public_key=None))


@pytest.fixture(scope="session")
def other(champion_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A second instance of this service, which serves its model over gRPC."""
    home = Path(shutil.copytree(champion_home, tmp_path_factory.mktemp("other") / "home"))

    def settings(port: int) -> ScoringSettings:
        return ScoringSettings(home=home, grpc_host=HOST, grpc_port=port, deadline_milliseconds=60_000)

    with serving_application(settings) as serving:
        yield serving


@pytest.fixture
def peer(scorer: Scorer) -> Iterator[Peer]:
    """A server that a test can spoil."""
    with running_peer(scorer) as running:
        yield running


@pytest.fixture
def settings(home: Path) -> Callable[..., ScoringSettings]:
    """Makes settings of a worker whose model is elsewhere."""

    def make(url: str, **changes: Any) -> ScoringSettings:
        chosen = {"model_timeout_milliseconds": PATIENT, "deadline_milliseconds": 60_000, "job_processes": 0, **changes}
        made = ScoringSettings(home=home, model_url=url, **chosen)
        upgrade(made)
        return made

    return make


@pytest.fixture
def opened(settings: Callable[..., ScoringSettings], runner: asyncio.Runner) -> Iterator[Open]:
    """Opens such a worker, warm."""
    with contextlib.ExitStack() as stack:

        def open_it(url: str, **changes: Any) -> Application:
            application = stack.enter_context(running_application(settings(url, **changes), runner))
            runner.run(application.warm_up())
            return application

        yield open_it


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something."""
    end = monotonic() + SECONDS
    while not condition():
        assert monotonic() < end, "it did not come true"
        await asyncio.sleep(0.02)
