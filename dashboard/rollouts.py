"""Rollouts of a release, as the rollout controller keeps them in the cluster. The only module that imports k8s.

Kubernetes' client waits up to half a minute for an API server that is slow; a page does not. So a thread asks, and who
waits takes what it has by then.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

from bentos.core.errors import ConfigError, Conflict, NotAllowed, Unavailable

if TYPE_CHECKING:
    from k8s.rollout.record import Rollout
    from k8s.rollout.state import Stored

__all__ = ["Kind", "Rollouts", "Seen"]

#: What people ask of the controller; abort is rolling back.
Kind: TypeAlias = Literal["pause", "resume", "promote", "abort"]
ResultT = TypeVar("ResultT")
_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True)
class Seen:
    """What a look found.

    Parameters
    ----------
    stored
        Rollouts of the release; None when it never had one.
    writable
        Whether the dashboard's account may ask the controller for something.
    """

    stored: Stored | None
    writable: bool

    @property
    def current(self) -> Rollout | None:
        """The rollout under way, or the last one."""
        return self.stored.current if self.stored else None


class Rollouts:
    """Rollouts of a release. Sessions share it.

    Parameters
    ----------
    release
        Name of the Helm release.
    namespace
        None means the kubeconfig's, or the pod's.
    timeout_seconds
        How long who asks waits.
    """

    def __init__(self, release: str, namespace: str | None, timeout_seconds: float) -> None:
        self._release = release
        self._namespace = namespace
        self._timeout_seconds = timeout_seconds
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="rollouts")
        self._lock = threading.Lock()
        self._looking: Future[Seen] | None = None
        self._cluster: Any = None

    def look(self) -> Seen:
        """What is stored now.

        Raises
        ------
        FraudError
            When there is no cluster, it does not answer in time, or does not let the dashboard look.
        """
        with self._lock:
            # One look at a time: a cluster that hangs holds one thread, however many people look.
            if self._looking is None or self._looking.done():
                self._looking = self._pool.submit(self._look)
            looking = self._looking
        return self._waited(looking)

    def ask(self, kind: Kind, rollout: str, by: str, why: str) -> bool:
        """Ask the controller for something; False when somebody has asked for the same already.

        Parameters
        ----------
        kind
            What.
        rollout
            Name of the one that was looked at.
        by, why
            Kept with it.

        Raises
        ------
        Conflict
            When that rollout is not under way any more.
        FraudError
            As :meth:`look`.
        """
        return self._waited(self._pool.submit(self._ask, kind, rollout, by, why))

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _connected(self) -> Any:
        from k8s.cluster import connect

        if find_spec("kubernetes") is None:
            raise ConfigError(
                "FRAUD_DASHBOARD_RELEASE is set, and Kubernetes' client is not installed: install the extra dashboard"
            )
        if self._cluster is None:
            self._cluster = connect(namespace=self._namespace)
        return self._cluster

    def _look(self) -> Seen:
        from k8s.rollout.state import find

        cluster = self._connected()
        stored = find(cluster, self._release)
        return Seen(stored, stored is not None and self._may_write(cluster, stored.config_map))

    def _may_write(self, cluster: Any, config_map: str) -> bool:
        what = {"namespace": cluster.namespace, "verb": "patch", "resource": "configmaps", "name": config_map}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": what},
        }
        try:
            return bool(cluster.ask("POST", _REVIEWS, review)["status"]["allowed"])
        except NotAllowed:
            return False

    def _ask(self, kind: Kind, rollout: str, by: str, why: str) -> bool:
        from k8s.rollout.state import load, request

        cluster = self._connected()
        stored = load(cluster, self._release)
        if stored.current is None or stored.current.name != rollout:
            raise Conflict(f"the rollout {rollout!r} is not the latest any more; look at the page again")
        if any(command.kind == kind and command.rollout == rollout for command in stored.commands.values()):
            return False
        request(cluster, stored, kind, by, why)
        return True

    def _waited(self, future: Future[ResultT]) -> ResultT:
        try:
            return future.result(self._timeout_seconds)
        except Late as error:
            raise Unavailable(
                f"the cluster has not answered within {self._timeout_seconds:g} s; this page asks again by itself"
            ) from error
