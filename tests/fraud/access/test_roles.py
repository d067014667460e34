"""One table says what every call of both transports needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from bentos.fraud.access.roles import CALL_ROLES, Need, call_roles
from bentos.fraud.http import gateway, inference
from bentos.fraud.http.endpoints import ROUTES
from bentos.fraud.settings import ScoringSettings
from tests.fraud.grpc.serving import HOST, Serving, serving_application

TABLE = call_roles("none", "none")


@pytest.fixture(scope="module")
def serving(champion_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A worker's gRPC."""
    folder = tmp_path_factory.mktemp("roles")

    def settings(port: int) -> ScoringSettings:
        artifact = champion_home / "champion" / "artifact"
        return ScoringSettings(home=folder, artifact=artifact, grpc_host=HOST, grpc_port=port)

    with serving_application(settings) as opened:
        yield opened


def test_every_method_of_grpc_is_in_the_table(serving: Serving) -> None:
    labels = {path: method.label for path, method in serving.server._methods.items()}
    assert {path for path, label in labels.items() if label not in TABLE} == set()
    open_paths = {path.rpartition("/")[2] for path, label in labels.items() if TABLE[label] == "none"}
    assert open_paths == {
        "Check",
        "Watch",
        "ServerReflectionInfo",
        "ServerLive",
        "ServerReady",
        "ServerMetadata",
        "ModelReady",
    }


def test_every_address_of_http_is_in_the_table() -> None:
    assert set(gateway._TARGETS.values()) <= set(TABLE)
    calls = {*inference._SERVER_CALLS.values(), *inference._MODEL_CALLS.values(), inference._UNKNOWN}
    assert calls <= set(TABLE)
    assert {call for call in gateway._CALLS.values() if TABLE[call] != "score"} == set()


def test_every_route_has_a_role() -> None:
    assert {route.name for route in ROUTES if route.role not in get_args(Need)} == set()
    # A twin over gRPC goes by the table, so the two must not contradict each other.
    assert {route.name for route in ROUTES if CALL_ROLES.get(route.name, route.role) != route.role} == set()
