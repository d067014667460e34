"""A real service, and the client in its four variants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.variants import PATIENT, VARIANTS, AnyClient, JobsService, Service, Transport, variant_name
from tests.fraud.artifacts import make_champion
from tests.fraud.server import environment, running_server
from tests.ports import free_port


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a champion."""
    home = tmp_path_factory.mktemp("client_service")
    make_champion(home)
    port = free_port()
    environ = environment(home, FRAUD_GRPC_HOST="127.0.0.1", FRAUD_GRPC_PORT=str(port))
    with running_server(environ, log=home / "server.log") as server:
        yield Service(server.url, f"grpc://127.0.0.1:{port}")


@pytest.fixture(scope="session")
def jobs_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobsService]:
    """A service with a champion that does batch jobs."""
    home = tmp_path_factory.mktemp("jobs_service")
    make_champion(home)
    folder = home / "in"
    folder.mkdir()
    environ = environment(home, FRAUD_JOB_PROCESSES="1", FRAUD_JOB_SOURCES=f"file://{folder}/")
    with running_server(environ, log=home / "server.log") as server:
        yield JobsService(server.url, folder)


@pytest.fixture(params=VARIANTS, ids=variant_name)
def variant(request: pytest.FixtureRequest) -> tuple[Transport, bool]:
    """One of the four."""
    chosen: tuple[Transport, bool] = request.param
    return chosen


@pytest.fixture
def client(service: Service, variant: tuple[Transport, bool]) -> Iterator[AnyClient]:
    """A client of that service, with time enough for a machine that is busy with other tests."""
    transport, asynchronous = variant
    with AnyClient(getattr(service, transport), asynchronous=asynchronous, options=PATIENT) as opened:
        yield opened
