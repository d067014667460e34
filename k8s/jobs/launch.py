"""Start a Job and stay with it; what Ctrl-C means, and how it is told in the end."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import click

from bentos.core.commands import terminable
from bentos.core.errors import NotFound, Unavailable
from k8s.cluster import Cluster
from k8s.jobs.follow import Ended, follow
from k8s.jobs.manifests import KIND_LABEL
from k8s.jobs.screen import Screen

__all__ = ["Manner", "attach", "launch"]

#: A pod gets a minute to end by itself.
_DELETION_SECONDS: Final = 120.0
_INTERRUPTED: Final = 130


@dataclass(frozen=True)
class Manner:
    """How a Job is accompanied.

    Parameters
    ----------
    detach
        Start it and leave.
    as_json
        Standard output gets one JSON object in the end, and nothing else.
    start_seconds
        How long it may wait for room.
    """

    detach: bool = False
    as_json: bool = False
    start_seconds: float = 300.0


def launch(cluster: Cluster, manifest: Mapping[str, Any], manner: Manner) -> int:
    """Create a Job and follow it; the exit code: 0 complete, 1 not, 130 after Ctrl-C, which deletes it.

    Raises
    ------
    FraudError
        When the cluster does not take the Job.
    """
    name = manifest["metadata"]["name"]
    with terminable(), Screen(quiet_output=manner.as_json) as screen:
        try:
            job = cluster.create_job(dict(manifest))
            screen.note(f"Job {name} in namespace {cluster.namespace}, image {_image(job)}")
            if manner.detach:
                screen.note(f"stay with it: python -m k8s follow {name} --namespace {cluster.namespace}")
                return _tell(cluster, Ended("complete", "", job, ()), manner, "created")
            ended = follow(cluster, job, screen, start_seconds=manner.start_seconds)
            if ended.status == "stuck":
                screen.note(f"the Job is deleted: {ended.reason}")
                cluster.delete_job(name)
            elif ended.status != "complete":
                screen.note(f"Job {name} {ended.status}: {ended.reason}")
        except KeyboardInterrupt:
            return _give_up(cluster, name, screen)
    return _tell(cluster, ended, manner, ended.status)


def attach(cluster: Cluster, name: str, manner: Manner) -> int:
    """Follow a Job that is there; Ctrl-C leaves it alone.

    Raises
    ------
    NotFound
        When there is none.
    """
    job = cluster.job(name)
    if job is None:
        raise NotFound(f"there is no Job {name!r} in namespace {cluster.namespace!r}; one that ended is kept for a day")
    with Screen(quiet_output=manner.as_json) as screen:
        try:
            ended = follow(cluster, job, screen, start_seconds=manner.start_seconds)
        except KeyboardInterrupt:
            screen.note(f"left; the Job {name} goes on")
            return _INTERRUPTED
        if ended.status != "complete":
            screen.note(f"Job {name} {ended.status}: {ended.reason}")
    return _tell(cluster, ended, manner, ended.status)


def _give_up(cluster: Cluster, name: str, screen: Screen) -> int:
    try:
        # Asked for before it is said: who reads it may leave, and the cluster goes on.
        cluster.delete_job(name)
        screen.note(f"interrupted: deleting the Job {name} and its pods; Ctrl-C again leaves at once")
        end = time.monotonic() + _DELETION_SECONDS
        while cluster.job(name) is not None or cluster.pods_of(name):
            if time.monotonic() > end:
                screen.note(f"the Job {name} is still being deleted; the cluster goes on with it")
                return _INTERRUPTED
            time.sleep(0.5)
        screen.note(f"the Job {name} is deleted")
    except KeyboardInterrupt:
        screen.note(f"left at once; `kubectl --namespace {cluster.namespace} get job {name}` shows what is left")
    except Unavailable as error:
        screen.note(f"{error}: `kubectl --namespace {cluster.namespace} delete job {name}` when it does")
    return _INTERRUPTED


def _image(job: Mapping[str, Any]) -> str:
    return str(job["spec"]["template"]["spec"]["containers"][0]["image"])


def _tell(cluster: Cluster, ended: Ended, manner: Manner, status: str) -> int:
    metadata, state = ended.job["metadata"], ended.job.get("status", {})
    about = {
        "job": metadata["name"],
        "namespace": cluster.namespace,
        "release": metadata["labels"].get("app.kubernetes.io/instance"),
        "kind": metadata["labels"].get(KIND_LABEL),
        "image": _image(ended.job),
        "status": status,
        "reason": ended.reason,
        "completions": ended.job["spec"].get("completions", 1),
        "succeeded": state.get("succeeded", 0),
        "failed_indexes": state.get("failedIndexes", ""),
        "pods": [_pod(pod) for pod in ended.pods],
    }
    if manner.as_json:
        click.echo(json.dumps(about, indent=2))
    elif manner.detach:
        click.echo(metadata["name"])
    return 0 if ended.status == "complete" else 1


def _pod(pod: Mapping[str, Any]) -> dict[str, Any]:
    annotations = pod["metadata"].get("annotations", {})
    states = [status["state"] for status in pod["status"].get("containerStatuses", [])]
    ended: Mapping[str, Any] = next((state["terminated"] for state in states if "terminated" in state), {})
    index = annotations.get("batch.kubernetes.io/job-completion-index")
    return {
        "name": pod["metadata"]["name"],
        "index": None if index is None else int(index),
        "phase": pod["status"].get("phase"),
        "exit_code": ended.get("exitCode"),
        "reason": ended.get("reason"),
    }
