"""What a rollout needs of a release's objects in the cluster: its sides, their pods, its routes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from bentos.core.errors import ConfigError, Conflict, NotFound
from k8s.rollout.state import ApiServer

__all__ = ["ReleaseObjects", "SideName"]

SideName = Literal["champion", "challenger"]
_COMPONENTS: Final[dict[SideName, str]] = {"champion": "scoring", "challenger": "scoring-challenger"}
_ROUTES: Final = ("httproutes", "grpcroutes")
_MERGE: Final = "application/merge-patch+json"
_ATTEMPTS: Final = 5


@dataclass(frozen=True)
class ReleaseObjects:
    """Objects of one release.

    Parameters
    ----------
    cluster
        And namespace.
    release
        Its name.
    """

    cluster: ApiServer
    release: str

    def deployment(self, side: SideName) -> dict[str, Any] | None:
        """The Deployment of a side; None when there is none."""
        found = self._list("apis/apps/v1", "deployments", _COMPONENTS[side])
        return found[0] if found else None

    def pods(self, side: SideName) -> list[dict[str, Any]]:
        """Pods of a side."""
        return self._list("api/v1", "pods", _COMPONENTS[side])

    def prefix(self) -> str:
        """What names of the release's objects begin with.

        Raises
        ------
        ConfigError
            There is no such release.
        """
        champion = self.deployment("champion")
        if champion is None:
            raise ConfigError(
                f"there is no release {self.release!r} of helm/fraud-platform in namespace"
                f" {self.cluster.namespace!r} of {self.cluster.address}: choose another with --release or --namespace"
            )
        return str(champion["metadata"]["name"]).removesuffix("-scoring")

    def started(self) -> dict[str, float]:
        """When containers that serve began, seconds since 1970, by the instance that Prometheus names."""
        found = {}
        for side in _COMPONENTS:
            for pod in self.pods(side):
                for status in pod.get("status", {}).get("containerStatuses", ()):
                    began = status.get("state", {}).get("running", {}).get("startedAt")
                    if began and pod["status"].get("podIP"):
                        found[f"{pod['status']['podIP']}:3000"] = datetime.fromisoformat(began).timestamp()
        return found

    def ready(self, side: SideName) -> bool:
        """Whether all pods of a side are of its newest template and ready; a side without pods is."""
        item = self.deployment(side)
        if item is None:
            return False
        status, wanted = item.get("status", {}), item["spec"].get("replicas", 1)
        known = status.get("observedGeneration", 0) >= item["metadata"].get("generation", 0)
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
        return known and all(count == wanted for count in counts)

    def take_away_traffic(self) -> list[str]:
        """Send everybody to the champion at once, past Helm; names of what was changed.

        Routes are patched. Without any, the Service that has both sides' pods is narrowed to the champion's, if these
        can answer.
        """
        champion, challenger = self.deployment("champion"), self.deployment("challenger")
        if champion is None or challenger is None:
            return []
        names = champion["metadata"]["name"], challenger["metadata"]["name"]
        changed, routed = [], False
        for path in self._routes():
            routed = True
            if self._patched(path, lambda item: _without(item, *names)):
                changed.append(path.rpartition("/")[2])
        if not routed and champion.get("status", {}).get("readyReplicas", 0):
            path = f"/api/v1/namespaces/{self.cluster.namespace}/services/{names[0]}"
            if self._patched(path, _narrowed):
                changed.append(names[0])
        return changed

    def event(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Note what happened on the champion's Deployment, which outlives every rollout."""
        item = self.deployment("champion")
        if item is None:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": item["metadata"]["name"],
            "namespace": self.cluster.namespace,
            "uid": item["metadata"]["uid"],
        }
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{item['metadata']['name']}-rollout-"},
            "involvedObject": about,
            "reason": reason,
            "message": message[:1000],
            "type": "Warning" if warning else "Normal",
            "source": {"component": "fraud-rollout"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self.cluster.ask("POST", f"/api/v1/namespaces/{self.cluster.namespace}/events", body)

    def _routes(self) -> Iterator[str]:
        for kind in _ROUTES:
            group = "apis/gateway.networking.k8s.io/v1"
            try:
                found = self._list(group, kind, _COMPONENTS["champion"])
            except NotFound:
                continue  # this cluster has no Gateway API
            for item in found:
                yield f"/{group}/namespaces/{self.cluster.namespace}/{kind}/{item['metadata']['name']}"

    def _patched(self, path: str, change: Any) -> bool:
        for attempt in range(_ATTEMPTS):
            item = self.cluster.ask("GET", path)
            patch = change(item)
            if patch is None:
                return False
            patch["metadata"] = {"resourceVersion": item["metadata"]["resourceVersion"]}
            try:
                self.cluster.ask("PATCH", path, patch, content=_MERGE)
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return True
        return False

    def _list(self, group: str, kind: str, component: str) -> list[dict[str, Any]]:
        labels = f"app.kubernetes.io/name=fraud-platform,app.kubernetes.io/instance={self.release}"
        path = f"/{group}/namespaces/{self.cluster.namespace}/{kind}"
        found = self.cluster.ask("GET", path, labelSelector=f"{labels},app.kubernetes.io/component={component}")
        return list(found["items"])


def _without(route: Mapping[str, Any], champion: str, challenger: str) -> dict[str, Any] | None:
    """A patch of a route that leaves the challenger nothing; None when it has nothing."""
    rules = copy.deepcopy(route["spec"]["rules"])
    changed = False
    for rule in rules:
        backends = rule.get("backendRefs", [])
        for backend in backends:
            if backend["name"] != challenger or backend.get("weight", 1) == 0:
                continue
            changed = True
            if len(backends) == 1:
                backend["name"] = champion
                continue
            backend["weight"] = 0
            for other in backends:
                if other["name"] == champion:
                    other["weight"] = 100
    return {"spec": {"rules": rules}} if changed else None


def _narrowed(service: Mapping[str, Any]) -> dict[str, Any] | None:
    component = _COMPONENTS["champion"]
    if service["spec"]["selector"].get("app.kubernetes.io/component") == component:
        return None
    return {"spec": {"selector": {"app.kubernetes.io/component": component}}}
