"""Stay with a Job until it ends, or until it is clear that it cannot begin."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from bentos.core.errors import NotAllowed, Unavailable
from k8s.cluster import Cluster
from k8s.jobs.logs import Logs
from k8s.jobs.screen import Screen
from k8s.jobs.troubles import Trouble, started, troubles_of

__all__ = ["Ended", "follow"]

_PERIOD_SECONDS: Final = 1.0
#: How long a cluster that does not answer is asked again.
_SILENCE_SECONDS: Final = 300.0
#: For the last lines of a pod that has ended.
_LAST_LINES_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Ended:
    """How a Job ended.

    Parameters
    ----------
    status
        complete; failed; deleted by somebody; stuck: it could not begin.
    reason
        In words; empty when it is complete.
    job
        As it was seen last.
    pods
        Likewise.
    """

    status: Literal["complete", "failed", "deleted", "stuck"]
    reason: str
    job: Mapping[str, Any]
    pods: Sequence[Mapping[str, Any]]


def follow(cluster: Cluster, job: Mapping[str, Any], screen: Screen, *, start_seconds: float) -> Ended:
    """Show a Job's progress and logs until it ends.

    Parameters
    ----------
    job
        As it was created or found.
    start_seconds
        How long it may wait for room, with no pod that has run, before it counts as stuck.

    Raises
    ------
    Unavailable
        When the cluster did not answer for minutes; the Job goes on.
    """
    following = _Following(cluster, job, screen, start_seconds)
    try:
        ended = following.run()
    except BaseException:
        following.logs.stop()
        raise
    following.logs.finish(_LAST_LINES_SECONDS)
    return ended


class _Following:
    def __init__(self, cluster: Cluster, job: Mapping[str, Any], screen: Screen, start_seconds: float) -> None:
        self._cluster = cluster
        self._job = job
        self._name: str = job["metadata"]["name"]
        self._screen = screen
        self._pods: list[dict[str, Any]] = []
        self._said: set[str] = set()
        self._start_seconds = start_seconds
        self._waiting_since = time.monotonic()
        self._several = job["spec"].get("completions", 1) > 1
        self.logs = Logs(cluster, self._line)

    def run(self) -> Ended:
        silent_since = None
        while True:
            try:
                ended = self._look()
            except Unavailable as error:
                now = time.monotonic()
                if silent_since is None:
                    silent_since = now
                    self._screen.note(f"{error}; the Job goes on, trying again")
                if now - silent_since > _SILENCE_SECONDS:
                    raise
            else:
                silent_since = None
                if ended is not None:
                    return ended
            time.sleep(_PERIOD_SECONDS)

    def _look(self) -> Ended | None:
        job = self._cluster.job(self._name)
        if job is None or "deletionTimestamp" in job["metadata"]:
            return self._ended("deleted", f"somebody deleted the Job {self._name}")
        self._job = job
        self._pods = self._cluster.pods_of(self._name)
        for pod in self._pods:
            if started(pod):
                self.logs.follow(pod["metadata"]["name"])
        troubles = troubles_of(job, self._pods, self._warnings())
        for trouble in troubles:
            if trouble.text not in self._said:
                self._said.add(trouble.text)
                self._screen.note(trouble.text)
        self._progress()
        for condition in job["status"].get("conditions", []):
            if condition["status"] == "True" and condition["type"] in {"Complete", "Failed"}:
                failed = condition["type"] == "Failed"
                return self._ended("failed", self._reason(condition)) if failed else self._ended("complete", "")
        return self._stuck(troubles)

    def _stuck(self, troubles: Sequence[Trouble]) -> Ended | None:
        final = [trouble.text for trouble in troubles if trouble.final]
        if final:
            return self._ended("stuck", final[-1])
        now = time.monotonic()
        if any(started(pod) for pod in self._pods):
            self._waiting_since = now
        if now - self._waiting_since > self._start_seconds:
            why = troubles[-1].text if troubles else "no pod was started, and nobody says why"
            return self._ended("stuck", f"nothing ran for {self._start_seconds:g} s: {why}")
        return None

    def _warnings(self) -> dict[str, list[dict[str, Any]]]:
        """Only about what has not begun: a running pod needs no explanation."""
        uids = [pod["metadata"]["uid"] for pod in self._pods if not started(pod)]
        if not self._job["status"].get("ready"):
            uids.append(self._job["metadata"]["uid"])
        try:
            return {uid: self._cluster.warnings_of(uid) for uid in uids}
        except NotAllowed:
            return {}

    def _progress(self) -> None:
        status, spec = self._job["status"], self._job["spec"]
        done = status.get("succeeded", 0)
        parts = [(status.get("active", 0), "running or waiting"), (status.get("failed", 0), "failed")]
        note = ", ".join(f"{count} {word}" for count, word in parts if count)
        self._screen.progress(self._name, done, spec.get("completions", 1), note)

    def _reason(self, condition: Mapping[str, Any]) -> str:
        if condition.get("reason") == "DeadlineExceeded":
            seconds = self._job["spec"]["activeDeadlineSeconds"]
            return f"it took longer than {seconds} s (--timeout)"
        indexes = self._job["status"].get("failedIndexes")
        shares = f", shares {indexes}" if indexes else ""
        last = [trouble.text for pod in self._pods for trouble in troubles_of(self._job, [pod], {})]
        return f"{condition.get('message') or condition.get('reason', '')}{shares}{f'; {last[-1]}' if last else ''}"

    def _ended(self, status: Literal["complete", "failed", "deleted", "stuck"], reason: str) -> Ended:
        return Ended(status, reason, self._job, tuple(self._pods))

    def _line(self, pod: str, text: str) -> None:
        self._screen.line(pod.removeprefix(f"{self._name}-") if self._several else "", text)
