"""What is known of a release's schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from k8s.cluster import Cluster
from k8s.jobs.release import Template

__all__ = ["Schedule", "Training", "read_schedule"]


@dataclass(frozen=True)
class Training:
    """A training that the schedule began."""

    job: str
    started: str
    state: str


@dataclass(frozen=True)
class Schedule:
    """A CronJob, as far as people ask for it.

    Parameters
    ----------
    name
        Of the CronJob.
    schedule, time_zone
        When.
    suspended
        Whether it is not followed at the moment.
    arguments
        Of `python -m training`.
    last_scheduled, last_successful
        Times, RFC 3339; None before the first.
    trainings
        Those that are kept, the oldest first.
    """

    name: str
    schedule: str
    time_zone: str
    suspended: bool
    arguments: tuple[str, ...]
    last_scheduled: str | None
    last_successful: str | None
    trainings: tuple[Training, ...]


def read_schedule(cluster: Cluster, template: Template) -> Schedule | None:
    """The schedule of a release, None when it has none."""
    found = cluster.cron_job(f"{template.prefix}-retraining")
    if found is None:
        return None
    spec, status, uid = found["spec"], found.get("status", {}), found["metadata"]["uid"]
    jobs = [
        job
        for job in cluster.jobs(f"app.kubernetes.io/instance={template.release},fraud-platform/job=train")
        if any(owner["uid"] == uid for owner in job["metadata"].get("ownerReferences", []))
    ]
    container = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    return Schedule(
        found["metadata"]["name"],
        spec["schedule"],
        spec["timeZone"],
        spec.get("suspend", False),
        tuple(container["args"]),
        status.get("lastScheduleTime"),
        status.get("lastSuccessfulTime"),
        tuple(sorted((_training(job) for job in jobs), key=lambda training: training.started)),
    )


def _training(job: Mapping[str, Any]) -> Training:
    ended = {item["type"] for item in job["status"].get("conditions", []) if item["status"] == "True"}
    state = "complete" if "Complete" in ended else "failed" if "Failed" in ended else "running"
    return Training(job["metadata"]["name"], job["status"].get("startTime", ""), state)
