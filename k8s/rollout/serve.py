"""The controller as a process: takes the Lease, and looks until it is told to stop or the rollout has ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server

from bentos.core.errors import Conflict, FraudError
from k8s.cluster import Cluster
from k8s.helm import Helm
from k8s.rollout.carry import Carrier
from k8s.rollout.controller import Controller, Keeper
from k8s.rollout.lease import Lease
from k8s.rollout.objects import ReleaseObjects
from k8s.rollout.observer import Observer
from k8s.rollout.reading import Prometheus
from k8s.rollout.record import Rollout
from k8s.rollout.telemetry import Telemetry

__all__ = ["make_controller", "serve"]

_LOG: Final = logging.getLogger(__name__)
#: Between two looks at commands and pods; counters are looked at as the plan says.
_TICK_SECONDS: Final = 1.0


def make_controller(
    cluster: Cluster, helm: Helm, release: str, chart: str, prometheus: str, records: Keeper | None = None
) -> Controller:
    """A controller of one release.

    Parameters
    ----------
    chart
        That the release has.
    prometheus
        URL of the one that scrapes it.
    records
        Where states are kept beside the ConfigMap; None means nowhere.
    """
    objects = ReleaseObjects(cluster, release)
    observer = Observer(Prometheus(prometheus, cluster.namespace, release), objects)
    telemetry = Telemetry(CollectorRegistry())
    return Controller(cluster, objects, Carrier(helm, objects, chart), observer, telemetry, records=records)


def serve(
    controller: Controller,
    cluster: Cluster,
    registry: CollectorRegistry,
    port: int,
    *,
    ends: bool,
    show: Callable[[Rollout], None] = lambda _rollout: None,
) -> Rollout | None:
    """Look again and again.

    Parameters
    ----------
    registry, port
        What is served to Prometheus, and where; port 0 serves nothing.
    ends
        Whether to return when the rollout has ended, or to wait for the next one.
    show
        Called with the rollout after each look.

    Raises
    ------
    Conflict
        Another controller has taken the Lease.
    """
    controller.telemetry = Telemetry(registry)
    lease = Lease(cluster, f"{controller.objects.prefix()}-rollout")
    with _told(registry, port):
        _wait_for(lease)
        lease.keep()
        try:
            return _look_on(controller, lease, ends, show)
        finally:
            lease.release()


@contextmanager
def _told(registry: CollectorRegistry, port: int) -> Iterator[None]:
    """Serve metrics, if they have a port."""
    if not port:
        yield
        return
    server, thread = start_http_server(port, registry=registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _wait_for(lease: Lease) -> None:
    told = ""
    while other := lease.acquire():
        if other != told:
            _LOG.warning("%s is the release's controller; waiting until it ends", other)
            told = other
        time.sleep(_TICK_SECONDS)


def _look_on(controller: Controller, lease: Lease, ends: bool, show: Callable[[Rollout], None]) -> Rollout | None:
    told = ""
    while True:
        if not lease.held:
            raise Conflict("the Lease could not be renewed, or another controller has it: this one stops")
        try:
            rollout = controller.tick()
        except FraudError as error:
            # Cluster, Helm or Prometheus may be back at the next look.
            if str(error) != told:
                _LOG.warning("%s", error)
            told = str(error)
        else:
            told = ""
            if rollout is not None:
                show(rollout)
                if ends and rollout.over:
                    return rollout
        time.sleep(_TICK_SECONDS)
