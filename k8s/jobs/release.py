"""What a release publishes for its Jobs: a PodTemplate for each kind, made by the chart as it makes the workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from bentos.core.errors import ConfigError
from k8s.cluster import Cluster

__all__ = ["Kind", "Template", "find_template"]

#: Component of the PodTemplate.
Kind = Literal["training", "bulk"]
_PRODUCT: Final = "app.kubernetes.io/name=fraud-platform"
_INSTANCE: Final = "app.kubernetes.io/instance"


@dataclass(frozen=True)
class Template:
    """The pod that a release would run.

    Parameters
    ----------
    release
        Its name.
    prefix
        What names of its objects begin with.
    pod
        metadata and spec, as a Job's template takes them.
    """

    release: str
    prefix: str
    pod: dict[str, Any]

    @property
    def container(self) -> dict[str, Any]:
        """The only one."""
        (container,) = self.pod["spec"]["containers"]
        return dict(container)

    def variable(self, name: str) -> Any:
        """Value, or its source, of a variable of the container; None when it has none."""
        found = [item for item in self.container["env"] if item["name"] == name]
        return (found[0].get("value") or found[0].get("valueFrom")) if found else None


def find_template(cluster: Cluster, kind: Kind, release: str | None = None) -> Template:
    """The pod of a kind of Jobs.

    Parameters
    ----------
    release
        Name; None means the only one of the namespace.

    Raises
    ------
    ConfigError
        There is no release in this namespace, none of that name, or more than one to choose from.
    """
    selector = f"{_PRODUCT},app.kubernetes.io/component={kind}"
    found = {item["metadata"]["labels"][_INSTANCE]: item for item in cluster.pod_templates(selector)}
    where = f"namespace {cluster.namespace!r} of {cluster.address}"
    if not found:
        raise ConfigError(
            f"there is no release of helm/fraud-platform in {where}: install one (docs/kubernetes.md), or choose"
            " another with --namespace or --context"
        )
    names = ", ".join(sorted(found))
    if release is None and len(found) > 1:
        raise ConfigError(f"there are several releases in {where}: choose one with --release ({names})")
    chosen = release or next(iter(found))
    if chosen not in found:
        raise ConfigError(f"there is no release {chosen!r} in {where}: there is {names}")
    template = found[chosen]
    return Template(chosen, template["metadata"]["name"].removesuffix(f"-{kind}"), template["template"])
