"""What is wrong with a side's pods that no waiting mends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

__all__ = ["pod_troubles"]

#: Reasons of a waiting container, after the kubelet has tried more than once or will not try.
_HOPELESS: Final = frozenset(
    {
        *("CrashLoopBackOff", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"),
        *("CreateContainerConfigError", "CreateContainerError", "RunContainerError"),
    }
)


def pod_troubles(pods: Iterable[Mapping[str, Any]], now: datetime, unready_seconds: float) -> list[str]:
    """What is wrong, in words; empty when pods run, or may yet begin to.

    Parameters
    ----------
    unready_seconds
        How long a pod may not be ready, by the cluster's own clock and marks.
    """
    found = []
    for pod in pods:
        name, status = pod["metadata"]["name"], pod.get("status", {})
        # One that was evicted stays listed for days, and was replaced at once.
        if pod["metadata"].get("deletionTimestamp") or status.get("phase") in {"Failed", "Succeeded"}:
            continue
        waiting = [_waiting(item) for item in status.get("containerStatuses", ())]
        hopeless = next((text for reason, text in waiting if reason in _HOPELESS), None)
        unready = _unready_seconds(status, now)
        if hopeless:
            found.append(f"pod {name}: {hopeless}")
        elif unready > unready_seconds:
            found.append(f"pod {name} has not been ready for {unready:.0f} s, and {unready_seconds:g} s are allowed")
    return found


def _waiting(container: Mapping[str, Any]) -> tuple[str, str]:
    waiting = container.get("state", {}).get("waiting", {})
    reason, last = waiting.get("reason", ""), container.get("lastState", {}).get("terminated", {})
    ended = f", last ended with {last.get('reason', 'Error')} {last['exitCode']}" if "exitCode" in last else ""
    return reason, f"{reason} ({waiting.get('message', container.get('image', ''))}{ended})"


def _unready_seconds(status: Mapping[str, Any], now: datetime) -> float:
    for condition in status.get("conditions", ()):
        if condition["type"] == "Ready" and condition["status"] != "True" and condition.get("lastTransitionTime"):
            return (now - datetime.fromisoformat(condition["lastTransitionTime"])).total_seconds()
    return 0.0
