"""What is stored of rollouts: read as it was written, never by two, and no larger than a ConfigMap may be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from bentos.core.errors import ConfigError, Conflict, DataError, NotFound
from k8s.cluster import Cluster
from k8s.rollout.gates import judge
from k8s.rollout.plan import Plan
from k8s.rollout.record import LOOKS, Change, GateReading, Look, ModelRef, Rollout
from k8s.rollout.state import PAST, create, find, load, replace, request
from tests.k8s.rollout.controller.played import PlayedApi
from tests.k8s.rollout.made import EMPTY, block, side

BEGAN = datetime(2026, 5, 1, tzinfo=UTC)
PLACE = "/api/v1/namespaces/fraud/configmaps/fraud-rollout"


def _rollout(name: str = "first", **more: object) -> Rollout:
    return Rollout(
        schema_version=1,
        name=name,
        release="fraud",
        champion=ModelRef(tag="1"),
        challenger=ModelRef(tag="2"),
        plan=Plan(),
        began=BEGAN,
        **more,  # type: ignore[arg-type]
    )


def test_what_is_written_is_read(cluster: Cluster, api: PlayedApi) -> None:
    verdicts = judge(EMPTY.seen(block(0, side(50_000), side(10_000))))
    full = _rollout(verdicts=verdicts, phase="paused", paused_by="release", step=2, weight=5, stage="canary").changed(
        Change(at=BEGAN, phase="running", step=0, weight=0, reason="began", revision=3)
    )
    stored = create(cluster, "fraud-rollout", full, None)
    again = load(cluster, "fraud")
    assert again == stored
    assert again.current == full
    assert json.loads(api.get(PLACE)["data"]["rollout"])["schema_version"] == 1


def test_none_yet(cluster: Cluster) -> None:
    assert find(cluster, "fraud") is None
    with pytest.raises(NotFound, match="rollout start"):
        load(cluster)


def test_one_at_a_time(cluster: Cluster) -> None:
    stored = create(cluster, "fraud-rollout", _rollout(), None)
    with pytest.raises(Conflict, match="'first' of release 'fraud' is running, and a release has one"):
        create(cluster, "fraud-rollout", _rollout("second"), stored)
    ended = replace(cluster, stored, _rollout(phase="aborted"))
    assert ended.current is not None
    create(cluster, "fraud-rollout", _rollout("second"), ended)
    assert [item.name for item in load(cluster).all] == ["second", "first"]
    # Both saw that it had ended.
    with pytest.raises(Conflict):
        create(cluster, "fraud-rollout", _rollout("third"), ended)


def test_a_command_collides_with_nobody(cluster: Cluster) -> None:
    stored = create(cluster, "fraud-rollout", _rollout(), None)
    request(cluster, stored, "pause", "anna@bank", "lunch")
    request(cluster, stored, "abort", "bert@bank")
    after = replace(cluster, stored, _rollout(step=1), "{}")
    assert [(item.kind, item.by, item.why) for item in after.commands.values()] == [
        ("pause", "anna@bank", "lunch"),
        ("abort", "bert@bank", ""),
    ]
    assert (after.current and after.current.step, after.evidence) == (1, "{}")
    done = replace(cluster, after, _rollout(phase="aborted", writes=1), obeyed=tuple(after.commands))
    assert (done.commands, done.evidence) == ({}, "")
    with pytest.raises(Conflict, match="'first' is aborted"):
        request(cluster, done, "pause", "anna@bank")


def test_a_second_controller_is_too_late(cluster: Cluster) -> None:
    stored = create(cluster, "fraud-rollout", _rollout(), None)
    replace(cluster, stored, _rollout(step=1))
    with pytest.raises(Conflict):
        replace(cluster, stored, _rollout(step=2))
    current = load(cluster).current
    assert current is not None
    assert current.step == 1


def test_several_releases(cluster: Cluster) -> None:
    create(cluster, "fraud-rollout", _rollout(), None)
    create(cluster, "other-rollout", _rollout().model_copy(update={"release": "other"}), None)
    with pytest.raises(ConfigError, match=r"--release \(fraud, other\)"):
        load(cluster)
    assert load(cluster, "other").config_map == "other-rollout"


@pytest.mark.parametrize("text", ["{", '{"schema_version": 2}', '{"schema_version": 1, "name": 5}'])
def test_what_cannot_be_read(cluster: Cluster, api: PlayedApi, text: str) -> None:
    create(cluster, "fraud-rollout", _rollout(), None)
    broken = api.get(PLACE)
    broken["data"]["rollout"] = text
    api.put(PLACE, broken)
    with pytest.raises(DataError, match="'fraud-rollout' holds rollouts that cannot be read"):
        load(cluster)


def test_it_fits_a_config_map(cluster: Cluster) -> None:
    evidence = EMPTY
    for number in range(2_000):
        evidence = evidence.seen(block(number, side(30_000 + number), side(10_000 + number)))
    verdicts = judge(evidence)
    rollout = _rollout(verdicts=verdicts)
    gates = tuple(GateReading.of(item) for item in verdicts)
    for number in range(5_000):
        at = BEGAN + timedelta(seconds=10 * number)
        rollout = rollout.seen(
            Look(at=at, step=number // 1_000, weight=5, action="hold", reason="x" * 200, gates=gates)
        )
    assert len(rollout.looks) <= LOOKS
    # Every step still has its looks, the first one's too.
    assert {look.step for look in rollout.looks} == set(range(5))
    stored = None
    for number in range(PAST + 3):
        stored = create(cluster, "fraud-rollout", rollout.model_copy(update={"name": f"r{number}"}), stored)
        last = stored.current
        assert last is not None
        stored = replace(cluster, stored, last, evidence.to_json())
        assert len(json.dumps(stored.evidence)) + sum(len(item.model_dump_json()) for item in stored.all) < 1_000_000
        current = stored.current
        assert current is not None
        stored = replace(cluster, stored, current.model_copy(update={"phase": "promoted"}))
    assert stored is not None
    assert len(stored.past) == PAST
