"""What the controller does when somebody asks, when pods break, and when others change the release."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from bentos.core.errors import ConfigError, Conflict
from k8s.rollout.lease import Lease
from k8s.rollout.plan import Plan, Step
from k8s.rollout.record import ModelRef
from k8s.rollout.start import begin
from k8s.rollout.state import request
from tests.k8s.rollout.controller.played import PlayedApi
from tests.k8s.rollout.controller.world import World, labels

ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/fraud/{}/fraud-scoring"
#: Stays in its first step with traffic.
HELD = Plan(steps=(Step(weight=30), Step(weight=100)), look_seconds=0.01)


def _told(world: World) -> list[str]:
    return [item["reason"] for path, item in world.api.objects.items() if "/events/" in path]


def test_shadow_to_promoted(world: World) -> None:
    world.begin()
    ended = world.until_over()
    assert ended.phase == "promoted"
    assert [item["values"]["scoring"]["rollout"]["stage"] for item in world.revisions()] == [
        *("none", "shadow", "canary", "canary", "none")
    ]
    assert {"RolloutRunning", "RolloutPromoting", "RolloutPromoted"} <= set(_told(world))
    # Without a Prometheus there was no evidence, which is no failure.
    assert all(look.action != "roll_back" for look in ended.looks)


def test_pods_come_before_traffic(world: World) -> None:
    world.begin(HELD)
    world.until(0)
    places = [item["values"]["scoring"]["rollout"] for item in world.revisions()]
    assert [(place["stage"], place["weight"]) for place in places] == [("none", 0), ("canary", 0), ("canary", 30)]


def test_abort_takes_traffic_away_before_helm(world: World) -> None:
    world.begin(HELD)
    world.until(0)
    request(world.controller.cluster, world.stored(), "abort", "bert@bank", "complaints")
    order: list[str] = []
    world.api.before = lambda method, path: order.append(f"{method} {path}")
    ended = world.until_over()
    first_patch = order.index(f"PATCH {ROUTE.format('httproutes')}")
    assert first_patch < order.index("GET /helm/upgrade")
    for kind in ("httproutes", "grpcroutes"):
        rules = world.api.get(ROUTE.format(kind))["spec"]["rules"]
        backends = [item for rule in rules for item in rule["backendRefs"]]
        given = {item["name"]: item.get("weight", 1) for item in backends if item["name"].endswith("challenger")}
        assert given == {"fraud-scoring-challenger": 0}
        assert [item["weight"] for item in rules[-1]["backendRefs"]] == [100, 0]
    assert (ended.phase, ended.changes[-1].by, ended.weight) == ("aborted", "bert@bank", 0)
    assert "complaints" in ended.changes[-1].reason
    assert world.revisions()[-1]["values"]["scoring"]["rollout"]["stage"] == "none"
    assert world.revisions()[-1]["values"]["scoring"]["champion"]["tag"] == "1"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}, "CrashLoopBackOff (back-off 10s"),
        ({"waiting": {"reason": "ImagePullBackOff", "message": 'pulling "x:2"'}}, 'ImagePullBackOff (pulling "x:2"'),
    ],
)
def test_pods_that_cannot_run_roll_back(world: World, state: dict[str, Any], said: str) -> None:
    world.begin(HELD)
    world.until(0)
    _pod(world, {"containerStatuses": [{"state": state}]})
    ended = world.until_over()
    assert ended.phase == "rolled_back"
    assert said in ended.changes[-1].reason


def test_a_revision_that_was_overtaken_is_told_of(world: World) -> None:
    world.begin(HELD)
    before = len(world.revisions())
    while len(world.revisions()) == before:
        world.controller.tick()
    current = world.stored().current
    assert current is not None
    assert current.intent is not None
    _pod(world, {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]})
    ended = world.until_over()
    assert ended.phase == "rolled_back"
    made = list(range(before + 1, len(world.revisions()) + 1))
    assert len(made) == 2
    assert [change.revision for change in ended.changes[1:]] == made
    assert ended.changes[1].reason == "its pods were not ready before the next change"


def test_a_pod_that_never_gets_ready_rolls_back(world: World) -> None:
    world.begin(HELD)
    world.until(0)
    _pod(world, {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-05-01T00:00:00Z"}]})
    assert "has not been ready for" in world.until_over().changes[-1].reason


def test_a_pod_that_was_evicted_is_nobodys_fault(world: World) -> None:
    """It stays listed when another has long taken its place."""
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-05-01T00:00:00Z"}
    world.begin(HELD)
    world.until(0)
    _pod(world, {"phase": "Failed", "reason": "Evicted", "conditions": [condition]})
    for _ in range(5):
        found = world.controller.tick()
        assert found is not None
        assert found.phase == "running"


def test_an_abort_while_the_champion_takes_the_model_gives_it_its_own_back(world: World) -> None:
    world.begin()
    while world.revisions()[-1]["values"]["scoring"]["champion"]["tag"] == "1":
        world.controller.tick()
    current = world.stored().current
    assert current is not None
    assert current.intent is not None
    assert current.intent.kind == "promote"
    request(world.controller.cluster, world.stored(), "abort", "bert@bank", "too early")
    assert world.until_over().phase == "aborted"
    assert world.revisions()[-1]["values"]["scoring"]["champion"]["tag"] == "1"


def test_an_abort_comes_before_what_waits_for_helm(world: World) -> None:
    world.begin(HELD)
    world.until(0)
    world.add_revision(world.revisions()[-1]["values"], "pending-upgrade")
    _ticked(world, "paused")
    request(world.controller.cluster, world.stored(), "resume", "anna@bank", "")
    request(world.controller.cluster, world.stored(), "abort", "bert@bank", "no more")
    helm = world.controller.carrier.helm
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(helm), "last_revision", _no_answer)
        with pytest.raises(ConfigError, match="no answer"):
            world.controller.tick()
    found = world.stored().current
    assert found is not None
    assert (found.phase, dict(world.stored().commands)) == ("rolling_back", {})


def test_a_release_that_is_gone_ends_its_rollout(world: World) -> None:
    world.begin(HELD)
    world.until(0)
    (world.folder / "revisions.json").write_text("[]")
    ended = world.until_over()
    assert ended.phase == "aborted"
    assert "no release 'fraud'" in ended.reason


def test_pause_and_resume(world: World) -> None:
    world.begin(HELD)
    world.until(0)
    cluster = world.controller.cluster
    request(cluster, world.stored(), "pause", "anna@bank", "lunch")
    paused = world.controller.tick()
    assert paused is not None
    assert (paused.phase, paused.paused_by) == ("paused", "request")
    request(cluster, world.stored(), "resume", "anna@bank")
    resumed = world.controller.tick()
    assert resumed is not None
    assert (resumed.phase, resumed.paused_since) == ("running", None)
    assert [change.by for change in resumed.changes[-2:]] == ["anna@bank"] * 2
    request(cluster, world.stored(), "promote", "anna@bank")
    assert world.until_over().phase == "promoted"


def test_a_release_changed_by_hand_pauses_and_is_set_back(world: World) -> None:
    world.begin(HELD)
    world.until(0)
    values = copy.deepcopy(world.revisions()[-1]["values"])
    values["scoring"]["rollout"]["weight"] = 60
    world.add_revision(values)
    paused = _ticked(world, "paused")
    assert "revision 4 of the release (deployed: by hand)" in paused.reason
    assert "scoring.rollout.weight is 60 instead of 30: `rollout resume` sets it back" in paused.reason
    assert len(world.revisions()) == 4
    request(world.controller.cluster, world.stored(), "resume", "anna@bank")
    _ticked(world, "running")
    world.until(0)
    assert world.revisions()[-1]["values"]["scoring"]["rollout"]["weight"] == 30


def test_other_values_changed_by_somebody_else_stay(world: World) -> None:
    world.begin(HELD)
    world.until(0)
    world.add_revision({**world.revisions()[-1]["values"], "dashboard": {"enabled": False}})
    assert "`rollout resume` goes on from it" in _ticked(world, "paused").reason
    request(world.controller.cluster, world.stored(), "resume", "anna@bank")
    running = _ticked(world, "running")
    assert (running.revision, running.intent) == (4, None)


def test_helm_stuck_in_pending_upgrade(world: World) -> None:
    world.begin(HELD)
    world.until(0)
    world.add_revision(world.revisions()[-1]["values"], "pending-upgrade")
    assert "(pending-upgrade: by hand)" in _ticked(world, "paused").reason


def test_an_own_upgrade_that_was_killed_is_freed_and_made_again(world: World) -> None:
    world.begin(HELD)
    world.controller.tick()
    stored = world.stored().current
    assert stored is not None
    assert stored.intent is not None
    values = copy.deepcopy(world.revisions()[-1]["values"])
    values["scoring"] |= {
        "rollout": {"stage": "canary", "weight": 0, "name": "first"},
        "challenger": {"repository": "", "tag": "2", "artifact": ""},
    }
    world.add_revision(values, "pending-upgrade", "2026-05-01T00:00:00+00:00")
    world.until(0)
    told = [item["description"] for item in world.revisions()]
    assert told[2] == "Rollback to 1"
    assert told[3:] == ["rollout first #1: challenger's pods", "rollout first #2: step 1 of 2, 30 %"]


def test_an_own_upgrade_that_was_killed_is_freed_for_an_abort(world: World) -> None:
    world.begin(HELD)
    world.controller.tick()
    values = copy.deepcopy(world.revisions()[-1]["values"])
    values["scoring"]["rollout"] = {"stage": "canary", "weight": 0, "name": "first"}
    world.add_revision(values, "pending-upgrade", "2026-05-01T00:00:00+00:00")
    request(world.controller.cluster, world.stored(), "abort", "bert@bank", "no more")
    assert world.until_over().phase == "aborted"
    assert world.revisions()[-1]["values"]["scoring"]["rollout"]["stage"] == "none"


def test_somebody_elses_upgrade_is_waited_for_by_an_abort(world: World) -> None:
    world.begin(HELD)
    world.until(0)
    world.add_revision(world.revisions()[-1]["values"], "pending-upgrade", "2026-05-01T00:00:00+00:00")
    request(world.controller.cluster, world.stored(), "abort", "bert@bank", "no more")
    before = len(world.revisions())
    for _ in range(5):
        found = world.controller.tick()
    assert found is not None
    assert (found.phase, len(world.revisions())) == ("rolling_back", before)
    assert "Helm is stuck" in found.troubles[0]


def test_what_cannot_begin(world: World) -> None:
    cluster, helm = world.controller.cluster, world.controller.carrier.helm
    with pytest.raises(ConfigError, match="is the champion: there is nothing to compare"):
        begin(cluster, helm, "fraud", ModelRef(tag="1"), HELD, "a")
    with pytest.raises(ConfigError, match="no challenger is named"):
        begin(cluster, helm, "fraud", ModelRef(), HELD, "a")
    with pytest.raises(ConfigError, match="no release 'other'"):
        begin(cluster, helm, "other", ModelRef(tag="2"), HELD, "a")
    values = copy.deepcopy(world.revisions()[-1]["values"])
    values["scoring"]["expose"]["kind"] = "ingress"
    world.add_revision(values)
    with pytest.raises(ConfigError, match="at 100 % the champion would have none"):
        begin(cluster, helm, "fraud", ModelRef(tag="2"), HELD, "a")
    values["scoring"]["expose"]["kind"] = "gateway"
    world.add_revision(values)
    world.begin(HELD)
    with pytest.raises(Conflict, match="one rollout at a time"):
        begin(cluster, helm, "fraud", ModelRef(tag="3"), HELD, "a", "second")


def test_one_controller_at_a_time(world: World) -> None:
    first, second = (Lease(world.controller.cluster, "fraud-rollout") for _ in range(2))
    assert first.acquire() == ""
    assert second.acquire() == first.holder
    assert (first.held, second.held) == (True, False)
    first.release()
    assert second.acquire() == ""


def test_no_gateway_narrows_the_service(world: World, api: PlayedApi) -> None:
    for kind in ("httproutes", "grpcroutes"):
        del api.objects[ROUTE.format(kind)]
    service = "/api/v1/namespaces/fraud/services/fraud-scoring"
    api.put(service, {"spec": {"selector": {"fraud-platform/serves": "transactions"}}})
    assert world.controller.objects.take_away_traffic() == ["fraud-scoring"]
    assert api.get(service)["spec"]["selector"]["app.kubernetes.io/component"] == "scoring"
    assert world.controller.objects.take_away_traffic() == []


def _no_answer(*_: Any) -> Any:
    raise ConfigError("no answer")


def _ticked(world: World, phase: str, most: int = 50) -> Any:
    for _ in range(most):
        found = world.controller.tick()
        if found is not None and found.phase == phase:
            return found
    raise AssertionError(f"not {phase}: {world.stored().current}")


def _pod(world: World, state: dict[str, Any]) -> None:
    named = {"metadata": {"name": "challenger-x", "labels": labels("scoring-challenger")}}
    world.api.put("/api/v1/namespaces/fraud/pods/challenger-x", {**named, "status": state})
