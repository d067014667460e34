"""One controller of a release at a time: a Lease that its holder renews."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bentos.core.errors import Conflict, FraudError, NotFound
from k8s.rollout.state import ApiServer

__all__ = ["Lease"]

_FORM: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


class Lease:
    """A Lease, held by this process or not. Renewed by a thread of its own, since Helm may take minutes.

    Parameters
    ----------
    name
        Of the Lease.
    seconds
        How long it holds after its last renewal.
    """

    def __init__(self, cluster: ApiServer, name: str, seconds: int = 20) -> None:
        self._cluster = cluster
        self._place = f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases"
        self._name = name
        self._seconds = seconds
        self.holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._renewed = datetime.min.replace(tzinfo=UTC)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds it, by its own clock, with a margin for a call under way."""
        return datetime.now(UTC) - self._renewed < timedelta(seconds=self._seconds * 0.75)

    def acquire(self) -> str:
        """Take or renew it; gives who holds it instead, empty when this process does."""
        now = datetime.now(UTC)
        try:
            item = self._cluster.ask("GET", f"{self._place}/{self._name}")
        except NotFound:
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
            return self._written("POST", self._place, {**body, "metadata": {"name": self._name}}, now)
        spec = item.get("spec", {})
        other = spec.get("holderIdentity") or ""
        if other and other != self.holder:
            last = datetime.fromisoformat(spec["renewTime"])
            if now - last < timedelta(seconds=spec.get("leaseDurationSeconds", self._seconds)):
                return str(other)
        return self._written("PUT", f"{self._place}/{self._name}", item, now)

    def keep(self) -> None:
        """Begin to renew it."""
        self._thread = threading.Thread(target=self._renew, daemon=True, name="lease")
        self._thread.start()

    def release(self) -> None:
        """Stop, and let the next one in at once."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self.held:
            item = self._cluster.ask("GET", f"{self._place}/{self._name}")
            if item["spec"].get("holderIdentity") == self.holder:
                item["spec"]["holderIdentity"] = ""
                self._cluster.ask("PUT", f"{self._place}/{self._name}", item)

    def _written(self, method: Any, path: str, item: dict[str, Any], now: datetime) -> str:
        item["spec"] = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self._seconds,
            "renewTime": now.strftime(_FORM),
        }
        try:
            self._cluster.ask(method, path, item)
        except Conflict:
            return "another controller that began at the same moment"
        self._renewed = now
        return ""

    def _renew(self) -> None:
        while not self._stop.wait(self._seconds / 4):
            try:
                self.acquire()
            except FraudError:
                continue  # `held` tells when that has lasted too long
