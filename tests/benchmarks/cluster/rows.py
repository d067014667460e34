"""What is measured, row by row: a change of the release under steady load, and what clients noticed."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.cluster.release import PORTS, Release

__all__ = ["ROWS", "Bench", "Seen"]

#: Of one kind of client, by its name.
Seen = dict[str, dict[str, Any]]

#: The gateway's listeners, in the cluster's network.
_GATEWAY_PORTS: Final = {"http": 80, "grpc": 81}
#: Before a change begins and after it is done, so that both are seen.
_CALM_SECONDS: Final = 3.0
_CAPACITY_SECONDS: Final = 10.0
_SENDING: Final = "tests.benchmarks.cluster.sending"


class Bench:
    """Clients of a release.

    Parameters
    ----------
    release
        It is installed.
    least
        Requests of each protocol that a row has at least; a change is repeated until then.
    """

    def __init__(self, release: Release, least: int) -> None:
        self.release = release
        self._least = least
        self.rates: dict[str, float] = {}
        self.capacities: dict[str, float] = {}

    def find_capacity(self, rate: float | None) -> None:
        """What one pod answers of each protocol, alone; rates are such that both together are a third.

        Parameters
        ----------
        rate
            Of each protocol; None for that third.
        """
        for protocol in PORTS:
            seen = self._run("most", protocol=protocol, seconds=_CAPACITY_SECONDS, **self._through_gateway(protocol))
            self.capacities[protocol] = round(seen["per_second"])
            self.rates[protocol] = rate or round(seen["per_second"] / 3 / len(PORTS))

    def under_load(
        self,
        change: Callable[[], object],
        *,
        kind: str = "steady",
        direct: bool = False,
        rates: Mapping[str, float] | None = None,
        share: float = 1.0,
    ) -> Seen:
        """What clients of both protocols notice during a change that is repeated until they have sent enough.

        Parameters
        ----------
        kind
            Of the clients.
        direct
            Whether they ask the Service, past the gateway.
        rates
            Requests a second of each protocol; a third of capacity when None.
        share
            Of the requests that a row has at least.
        """
        rates = rates or self.rates
        with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(len(PORTS)) as pool:
            ended = Path(name) / "ended"
            sending = {
                protocol: pool.submit(
                    self._run,
                    kind,
                    protocol=protocol,
                    rate=rate,
                    until=str(ended),
                    **(self._straight(protocol) if direct else self._through_gateway(protocol)),
                )
                for protocol, rate in rates.items()
            }
            # Clients have to start, too.
            enough = time.monotonic() + share * self._least / min(rates.values()) + _CALM_SECONDS
            times = 0
            try:
                while not times or time.monotonic() < enough:
                    time.sleep(_CALM_SECONDS)
                    change()
                    times += 1
                time.sleep(_CALM_SECONDS)
            finally:
                ended.touch()
            return {protocol: {**sent.result(), "times": times} for protocol, sent in sending.items()}

    @contextmanager
    def keeping(self) -> Iterator[dict[str, Any]]:
        """Labels and jobs as long as the block lasts; what became of them is there at its end."""
        told: dict[str, Any] = {}
        with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(1) as pool:
            ended = Path(name) / "ended"
            environ = {"FRAUD_RECORDS_URL": self.release.records_url(), "FRAUD_HOME": name}
            url = f"http://{self.release.address('scoring')}:{PORTS['http']}"
            sent = pool.submit(self._run, "keeping", environ, url=url, until=str(ended))
            try:
                yield told
            finally:
                ended.touch()
            told.update(sent.result())

    def _through_gateway(self, protocol: str) -> dict[str, Any]:
        return {"address": "127.0.0.1", "port": _GATEWAY_PORTS[protocol]}

    def _straight(self, protocol: str) -> dict[str, Any]:
        return {"address": self.release.address("scoring"), "port": PORTS[protocol]}

    def _run(self, kind: str, environ: Mapping[str, str] | None = None, **options: Any) -> dict[str, Any]:
        cluster = self.release.cluster
        ended = subprocess.run(
            [*cluster.inside, sys.executable, "-m", _SENDING, kind, json.dumps(options)],
            env={**cluster.environ, **(environ or {})},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        seen: dict[str, Any] = json.loads(ended.stdout)
        return seen


def _upgrade(bench: Bench) -> Seen:
    sizes = itertools.cycle((32, 48))
    seen = bench.under_load(lambda: bench.release.install(settings={"batch_size": next(sizes)}))
    bench.release.install()
    return seen


def _rollback(bench: Bench) -> Seen:
    # Between these two revisions it goes back and forth.
    bench.release.install(settings={"batch_size": 32})
    bench.release.install()
    seen = bench.under_load(bench.release.rollback)
    bench.release.install()
    return seen


def _scaling(bench: Bench, *, direct: bool = False) -> Seen:
    return bench.under_load(lambda: [bench.release.scale(replicas) for replicas in (4, 1)], direct=direct)


@contextmanager
def _two_pods(bench: Bench, **scoring: Any) -> Iterator[None]:
    bench.release.install(replicas=2, **scoring)
    try:
        yield
    finally:
        bench.release.install()


def _eviction(bench: Bench) -> Seen:
    with _two_pods(bench):
        return bench.under_load(bench.release.evict)


def _killed_worker(bench: Bench) -> Seen:
    with _two_pods(bench, processes=2):
        rates = dict.fromkeys(PORTS, 60.0)
        return bench.under_load(bench.release.kill_worker, kind="retrying", rates=rates, share=0.25)


def _killed_container(bench: Bench) -> Seen:
    with _two_pods(bench):
        rates = dict.fromkeys(PORTS, 60.0)
        return bench.under_load(bench.release.kill_container, kind="retrying", rates=rates, share=0.25)


def _autoscaling(bench: Bench) -> Seen:
    """Load until there are several pods, next to none until there is one again."""
    scaler = {"kind": "hpa", "minReplicas": 1, "maxReplicas": 3, "scaleDownSeconds": 15}
    bench.release.install(autoscaling=scaler)
    told: dict[str, Any] = {}

    def wait(key: str, holds: Callable[[], bool]) -> None:
        begun = time.monotonic()
        while not holds():
            time.sleep(1)
        # The first time counts: afterwards it is as it should be.
        told.setdefault(key, round(time.monotonic() - begun))

    try:
        wait("settled", lambda: bench.release.replicas() == 1)
        seen = bench.under_load(lambda: wait("out_seconds", lambda: bench.release.replicas() > 1))
        back = bench.under_load(
            lambda: wait("back_seconds", lambda: bench.release.replicas() == 1),
            rates=dict.fromkeys(PORTS, 5.0),
            share=0,
        )
    finally:
        bench.release.install()
    for protocol, one in back.items():
        seen[protocol]["sent"] += one["sent"]
        for status, count in one["failed"].items():
            seen[protocol]["failed"][status] = seen[protocol]["failed"].get(status, 0) + count
        seen[protocol] |= {key: told[key] for key in ("out_seconds", "back_seconds")}
    return seen


def _gateway_and_pod(bench: Bench) -> Seen:
    """By turns, so that a machine that drifts does so for both."""
    seen: Seen = {}
    for turn in range(3):
        for way, direct in (("gateway", False), ("pod", True)):
            found = bench.under_load(lambda: time.sleep(10), direct=direct, share=0)
            seen |= {f"{protocol} by {way}, {turn + 1}": one for protocol, one in found.items()}
    return seen


def _without(component: str) -> Callable[[Bench], Seen]:
    def measured(bench: Bench) -> Seen:
        with bench.keeping() as kept:
            seen = bench.under_load(lambda: bench.release.delete_pod(component))
        return seen | {"labels and jobs": kept}

    return measured


#: By what a reader calls them, in the order in which they can follow each other.
ROWS: Final[dict[str, Callable[[Bench], Seen]]] = {
    "nothing": lambda bench: bench.under_load(lambda: time.sleep(10)),
    "rolling update": lambda bench: bench.under_load(bench.release.restart),
    "rolling update, straight to the Service": lambda bench: bench.under_load(bench.release.restart, direct=True),
    "scaling 1, 4, 1": _scaling,
    "scaling 1, 4, 1, straight to the Service": lambda bench: _scaling(bench, direct=True),
    "`helm upgrade` of a value": _upgrade,
    "`helm rollback`": _rollback,
    "eviction of each of 2 pods": _eviction,
    "HPA, 1 pod to several and back": _autoscaling,
    "gateway and pod": _gateway_and_pod,
    "Redis' pod deleted": _without("redis"),
    "PostgreSQL's pod deleted": _without("postgresql"),
    "kill -9 of a serving process, 2 pods of 2, client with retries": _killed_worker,
    "kill -9 of all of one of 2 pods, client with retries": _killed_container,
}
