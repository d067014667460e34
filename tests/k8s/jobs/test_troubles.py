"""What is said when a Job does not go on. Messages of the cluster are those of Kubernetes 1.34."""

from __future__ import annotations

from typing import Any

import pytest

from k8s.jobs.troubles import started, troubles_of

JOB: dict[str, Any] = {"metadata": {"name": "fraud-train", "uid": "job"}, "spec": {}, "status": {}}


def _pod(status: dict[str, Any]) -> dict[str, Any]:
    container = {"name": "training", "resources": {"limits": {"memory": "2Gi"}}}
    return {
        "metadata": {"name": "fraud-train-x", "uid": "pod"},
        "spec": {"containers": [container]},
        "status": status,
    }


def _container(state: dict[str, Any]) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "training", "image": "fraud-workers:9", "state": state}]}


STATES: dict[str, tuple[dict[str, Any], bool, str]] = {
    "image that nobody may pull": (
        _container({"waiting": {"reason": "ErrImageNeverPull", "message": "Container image is not present"}}),
        True,
        "has no image: fraud-workers:9 (ErrImageNeverPull: Container image is not present); bring it",
    ),
    "image that cannot be pulled": (
        _container({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}),
        True,
        "has no image: fraud-workers:9 (ImagePullBackOff",
    ),
    "secret that is missing": (
        _container({"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "records" not found'}}),
        True,
        'cannot start: secret "records" not found',
    ),
    "node too small": (
        {
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "0/1 nodes are available: 1 Insufficient memory. preemption: none.",
                }
            ]
        },
        False,
        "waits for a node: 0/1 nodes are available: 1 Insufficient memory. preemption: none; ask for less with --cpu",
    ),
    "claim that is missing": (
        {
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": '0/1 nodes are available: persistentvolumeclaim "payments" not found.',
                }
            ]
        },
        True,
        'cannot be placed: 0/1 nodes are available: persistentvolumeclaim "payments" not found.; create the claim',
    ),
    "out of memory": (
        _container({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
        False,
        "was killed: it needed more than 2Gi of memory; give it more with --memory",
    ),
    "failure": (_container({"terminated": {"exitCode": 2, "reason": "Error"}}), False, "failed: exit code 2"),
    "eviction": (
        {"reason": "Evicted", "message": "The node was low on resource: memory."},
        False,
        "was evicted: The node was low on resource: memory.",
    ),
    "drained node": (
        {"conditions": [{"type": "DisruptionTarget", "status": "True", "message": "Eviction API: evicting"}]},
        False,
        "was taken off its node (Eviction API: evicting); another takes its place",
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_states_of_a_pod(state: str) -> None:
    status, final, text = STATES[state]
    (trouble,) = troubles_of(JOB, [_pod(status)], {})
    assert trouble.final is final
    assert trouble.text.startswith(f"pod fraud-train-x {text}")


def test_a_pod_that_works_or_has_worked_is_no_trouble() -> None:
    for state in ({"running": {}}, {"terminated": {"exitCode": 0, "reason": "Completed"}}):
        pod = _pod(_container(state))
        assert started(pod)
        assert troubles_of(JOB, [pod], {"pod": [{"reason": "FailedMount", "message": 'secret "x" not found'}]}) == []


CREATIONS = {
    "quota": (
        'pods "x" is forbidden: exceeded quota: small, requested: cpu=1',
        False,
        "the namespace's quota leaves no",
    ),
    "admission": (
        'pods "x" is forbidden: violates PodSecurity "restricted:latest"',
        True,
        "the cluster refuses the pod",
    ),
    "account": ('pods "x" is forbidden: error looking up service account f/j: not found', True, "the cluster refuses"),
    "a moment's failure": ("Internal error occurred: failed calling webhook", False, "the cluster refuses the pod"),
}


@pytest.mark.parametrize("creation", CREATIONS)
def test_pods_that_are_not_made(creation: str) -> None:
    message, final, text = CREATIONS[creation]
    (trouble,) = troubles_of(JOB, [], {"job": [{"reason": "FailedCreate", "message": f"Error creating: {message}"}]})
    assert trouble.final is final
    assert trouble.text.startswith(text)
    assert message in trouble.text


def test_a_volume_of_a_secret_that_is_missing() -> None:
    message = 'MountVolume.SetUp failed for volume "keys" : secret "fraud-keys" not found'
    waiting = _pod(_container({"waiting": {"reason": "ContainerCreating"}}))
    (trouble,) = troubles_of(JOB, [waiting], {"pod": [{"reason": "FailedMount", "message": message}]})
    assert trouble.final
    assert trouble.text == f"pod fraud-train-x gets no volume: {message}"
    # A volume that is slow is waited for.
    assert troubles_of(JOB, [waiting], {"pod": [{"reason": "FailedMount", "message": "timed out waiting"}]}) == []
