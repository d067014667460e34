from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.fraud.grpc.serving import SECONDS, Serving, serving_methods

STATUS = HealthCheckResponse.ServingStatus


@pytest.mark.parametrize("service", ["", "fraud.v1.FraudService", "grpc.health.v1.Health"])
def test_what_is_served_is_healthy(channel: grpc.Channel, service: str) -> None:
    assert HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=SECONDS).status == STATUS.SERVING


def test_an_unknown_service_is_not_found(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        HealthStub(channel).Check(HealthCheckRequest(service="other"), timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("service", "states"),
    [
        ("", [STATUS.SERVING, STATUS.NOT_SERVING]),
        ("test.Service", [STATUS.SERVING, STATUS.NOT_SERVING]),
        ("other", [STATUS.SERVICE_UNKNOWN, STATUS.SERVICE_UNKNOWN]),
    ],
)
def test_who_watches_hears_of_the_end(service: str, states: list[int]) -> None:
    with serving_methods({}) as serving, serving.channel() as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest(service=service), timeout=SECONDS)
        seen = [next(watch).status]
        stopping = asyncio.run_coroutine_threadsafe(serving.server.stop(SECONDS), serving.loop.loop)
        seen += [answer.status for answer in watch]
        stopping.result(SECONDS)
        assert seen == states


def test_a_watch_may_end_before_the_server(serving: Serving) -> None:
    with serving.channel() as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest(), timeout=SECONDS)
        assert next(watch).status == STATUS.SERVING
        watch.cancel()
        assert HealthStub(channel).Check(HealthCheckRequest(), timeout=SECONDS).status == STATUS.SERVING
