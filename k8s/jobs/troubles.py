"""Why a Job does not go on, in words: from its pods' states and the warnings about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Trouble", "started", "troubles_of"]

#: Kubelet gives up on these, or asks in vain for ever.
_NO_IMAGE: Final = frozenset({"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName"})
#: A secret, a key of it, or a program that is not there.
_NO_START: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


@dataclass(frozen=True)
class Trouble:
    """What is in the way.

    Parameters
    ----------
    text
        What happened, and what to do.
    final
        Whether it stays so until somebody does something; else it may pass, as when a node is added.
    """

    text: str
    final: bool = False


def started(pod: Mapping[str, Any]) -> bool:
    """Whether the container of a pod has run."""
    statuses = pod["status"].get("containerStatuses", [])
    return any("running" in status["state"] or "terminated" in status["state"] for status in statuses)


def troubles_of(
    job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], warnings: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[Trouble]:
    """Everything that is in the way of a Job, or was.

    Parameters
    ----------
    pods
        Of the Job.
    warnings
        Events by the uid of the object that they are about.
    """
    found = [_of_creation(event["message"]) for event in warnings.get(job["metadata"]["uid"], ()) if _failed(event)]
    for pod in pods:
        found += _of_pod(pod)
        if not started(pod):
            found += [
                Trouble(f"pod {pod['metadata']['name']} gets no volume: {event['message']}", final=True)
                for event in warnings.get(pod["metadata"]["uid"], ())
                if event["reason"] == "FailedMount" and "not found" in event["message"]
            ]
    return found


def _failed(event: Mapping[str, Any]) -> bool:
    return bool(event["reason"] == "FailedCreate")


def _of_creation(message: str) -> Trouble:
    if "exceeded quota" in message:
        return Trouble(
            f"the namespace's quota leaves no room for a pod: {message}; wait, ask for less with --cpu and --memory, or"
            " have the quota raised"
        )
    final = "forbidden" in message or "not found" in message or "Invalid value" in message
    return Trouble(f"the cluster refuses the pod: {message}", final=final)


def _of_pod(pod: Mapping[str, Any]) -> Iterator[Trouble]:
    name, status = pod["metadata"]["name"], pod["status"]
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield _unschedulable(name, condition.get("message", ""))
        elif condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            why = condition.get("message") or condition.get("reason", "")
            yield Trouble(f"pod {name} was taken off its node ({why}); another takes its place")
    if status.get("reason") == "Evicted":
        yield Trouble(f"pod {name} was evicted: {status.get('message', '')}; a larger --memory may keep it")
    limits = {container["name"]: container.get("resources", {}) for container in pod["spec"]["containers"]}
    for container in status.get("containerStatuses", []):
        yield from _of_container(name, container, limits.get(container["name"], {}))


def _unschedulable(name: str, message: str) -> Trouble:
    if "persistentvolumeclaim" in message and "not found" in message:
        return Trouble(f"pod {name} cannot be placed: {message}; create the claim, or name another", final=True)
    advice = "add a node"
    if "Insufficient" in message:
        advice = "ask for less with --cpu and --memory, or add a node"
    return Trouble(f"pod {name} waits for a node: {message.rstrip('.')}; {advice}")


def _of_container(pod: str, status: Mapping[str, Any], resources: Mapping[str, Any]) -> Iterator[Trouble]:
    waiting = status["state"].get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _NO_IMAGE:
        yield Trouble(
            f"pod {pod} has no image: {status['image']} ({reason}: {message}); bring it to where the nodes find it, or"
            " correct global.images of the release",
            final=True,
        )
    elif reason in _NO_START:
        yield Trouble(
            f"pod {pod} cannot start: {message or reason}; the release's values name what must be there", final=True
        )
    ended = status["state"].get("terminated")
    if not ended or not ended["exitCode"]:
        return
    if ended.get("reason") == "OOMKilled":
        limit = resources.get("limits", {}).get("memory", "its limit")
        yield Trouble(f"pod {pod} was killed: it needed more than {limit} of memory; give it more with --memory")
    else:
        yield Trouble(f"pod {pod} failed: exit code {ended['exitCode']}")
