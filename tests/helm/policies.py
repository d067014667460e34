"""What NetworkPolicies let through, for networks that do not enforce them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["allows"]


def allows(
    objects: Sequence[Mapping[str, Any]], source: Mapping[str, str], target: Mapping[str, str], port: int
) -> bool:
    """Whether the policies let a pod call another on a port.

    Parameters
    ----------
    objects
        Policies of both pods' namespace, among other objects.
    source, target
        Labels of the pods; none of what is no pod of the namespace.
    """
    outwards = _lets(_policies(objects, source), "egress", "to", target, port)
    return outwards and (not target or _lets(_policies(objects, target), "ingress", "from", source, port))


def _policies(objects: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> list[Mapping[str, Any]]:
    found = [
        item["spec"]
        for item in objects
        if item["kind"] == "NetworkPolicy" and item["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    ]
    assert found, f"no policy is over pods with {labels}"
    return found


def _lets(
    policies: Sequence[Mapping[str, Any]], direction: str, peers: str, peer: Mapping[str, str], port: int
) -> bool:
    return any(
        port in {entry["port"] for entry in rule["ports"]}
        and (peers not in rule or any(_is_meant(entry, peer) for entry in rule[peers]))
        for policy in policies
        for rule in policy.get(direction, [])
    )


def _is_meant(entry: Mapping[str, Any], peer: Mapping[str, str]) -> bool:
    return bool(peer) and "podSelector" in entry and entry["podSelector"]["matchLabels"].items() <= peer.items()
