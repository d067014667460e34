"""The Job: the release's pod, with a command, claims and limits of its own."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from k8s.jobs.places import MOUNT
from k8s.jobs.release import Template

__all__ = ["KIND_LABEL", "Plan", "Shares", "job_manifest", "job_name"]

KIND_LABEL: Final = "fraud-platform/job"
#: How long a finished Job stays to be looked at.
_KEPT_SECONDS: Final = 24 * 3600
#: Pods of an indexed Job are called after it, with index and six characters, and a host's name has at most 63.
_LONGEST_NAME: Final = 50


@dataclass(frozen=True)
class Shares:
    """Of an indexed Job.

    Parameters
    ----------
    count
        Indexes.
    parallel
        Pods at a time.
    first_decides
        Whether the Job is complete as soon as its first index is.
    """

    count: int
    parallel: int
    first_decides: bool = False


@dataclass(frozen=True)
class Plan:
    """What a Job is to do.

    Parameters
    ----------
    kind
        Of the command, such as train.
    arguments
        Of the container's command.
    claims
        Volume claims, and whether they are written.
    shares
        None is one pod.
    retries
        Of a pod that fails; of each index.
    timeout_seconds
        After which the Job is ended; None is never.
    cpu, memory
        Requests, and the limit of memory, as Kubernetes writes quantities; None leaves the release's.
    """

    kind: str
    arguments: Sequence[str]
    claims: Mapping[str, bool] = field(default_factory=dict)
    shares: Shares | None = None
    retries: int = 2
    timeout_seconds: int | None = None
    cpu: str | None = None
    memory: str | None = None


def job_name(template: Template, kind: str) -> str:
    """A name that no other Job has, chosen here: a Job can be deleted although nobody heard that it was created."""
    ending = f"-{kind}-{secrets.token_hex(3)}"
    return template.prefix[: _LONGEST_NAME - len(ending)].rstrip("-") + ending


def job_manifest(template: Template, plan: Plan, name: str) -> dict[str, Any]:
    """The Job as the API server takes it."""
    pod = copy.deepcopy(template.pod)
    # What the API server filled in, and would not take back.
    pod["metadata"].pop("creationTimestamp", None)
    labels = pod["metadata"]["labels"]
    pod["spec"]["restartPolicy"] = "Never"
    container = pod["spec"]["containers"][0]
    container["args"] = list(plan.arguments)
    _limit(container, plan)
    for number, (claim, written) in enumerate(plan.claims.items()):
        volume = f"claim-{number}"
        mount = {"name": volume, "mountPath": f"{MOUNT}/{claim}"}
        container["volumeMounts"].append(mount if written else mount | {"readOnly": True})
        pod["spec"]["volumes"].append({"name": volume, "persistentVolumeClaim": {"claimName": claim}})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {**labels, KIND_LABEL: plan.kind}},
        "spec": {
            **_completion(plan),
            **({"activeDeadlineSeconds": plan.timeout_seconds} if plan.timeout_seconds is not None else {}),
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            # Never two pods of one index, not even while one ends.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                # An eviction, or a drained node, is no failure of the work.
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": pod,
        },
    }


def _limit(container: dict[str, Any], plan: Plan) -> None:
    resources = container.setdefault("resources", {})
    if plan.cpu is not None:
        resources.setdefault("requests", {})["cpu"] = plan.cpu
        resources.get("limits", {}).pop("cpu", None)
    if plan.memory is not None:
        resources.setdefault("requests", {})["memory"] = plan.memory
        resources.setdefault("limits", {})["memory"] = plan.memory


def _completion(plan: Plan) -> dict[str, Any]:
    if plan.shares is None:
        return {"backoffLimit": plan.retries}
    return {
        "completionMode": "Indexed",
        "completions": plan.shares.count,
        "parallelism": min(plan.shares.parallel, plan.shares.count),
        "backoffLimitPerIndex": plan.retries,
        **({"successPolicy": {"rules": [{"succeededIndexes": "0"}]}} if plan.shares.first_decides else {}),
    }
