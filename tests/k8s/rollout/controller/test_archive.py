"""The records of rollouts: written beside the controller, later when the database is away, and read by `history`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bentos.core.errors import ConfigError, NotFound, Unavailable
from bentos.fraud.records.settings import RecordsSettings
from k8s.__main__ import main
from k8s.cluster import Cluster
from k8s.rollout.archive import Archive, archive_settings, recorded
from k8s.rollout.history import merged, past_rollouts
from k8s.rollout.record import Look, Rollout
from k8s.rollout.state import find, replace
from tests.k8s.rollout.controller.played import PlayedApi
from tests.k8s.rollout.controller.world import World
from tests.servers.postgresql import PostgresServer, running_postgres
from tests.waiting import eventually

CONFIG_MAP = "/api/v1/namespaces/fraud/configmaps/fraud-rollout"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One that tests stop. To be asked for before the world, which moves temporary folders."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path) -> RecordsSettings:
    return RecordsSettings(home=tmp_path, records_url=f"sqlite:///{tmp_path}/records.db")  # type: ignore[arg-type]


@pytest.fixture
def archive(settings: RecordsSettings) -> Iterator[Archive]:
    archive = Archive(settings, "fraud")
    yield archive
    archive.close()


def _only(settings: RecordsSettings) -> Rollout:
    (found,) = recorded(settings, "fraud")
    return found


def test_all_that_the_controller_writes_is_recorded_with_every_look(
    world: World, settings: RecordsSettings, archive: Archive
) -> None:
    world.controller.records = archive
    world.begin()
    ended = world.until_over()
    assert archive.close()
    kept = _only(settings)
    assert kept.model_copy(update={"looks": ()}) == ended.model_copy(update={"looks": ()})
    assert kept.phase == "promoted"
    assert set(ended.looks) <= set(kept.looks)
    assert all(look.reason for look in kept.looks)


def test_nothing_waits_for_a_database_that_is_away_and_it_is_written_later(
    server: PostgresServer, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    url = server.new_database()
    server.kill()
    settings = RecordsSettings(records_url=url, records_timeout_seconds=1)  # type: ignore[arg-type]
    world.controller.records = archive = Archive(settings, "fraud")
    world.begin()
    assert world.until_over().phase == "promoted"
    assert world.stored().current is not None
    eventually(lambda: "written to the records later" in caplog.text)
    server.start()
    eventually(lambda: not archive._waiting)
    assert _only(settings).phase == "promoted"
    assert archive.close()


def _with_looks(rollout: Rollout, count: int) -> Rollout:
    times = (rollout.began + timedelta(seconds=number) for number in range(count))
    looks = tuple(Look(at=at, step=0, weight=0, action="hold", reason="nothing yet") for at in times)
    return rollout.model_copy(update={"looks": looks})


class _Waiting:
    """Keeps what an archive would keep whose database is away: the first of the latest states."""

    def __init__(self) -> None:
        self.rollout: Rollout | None = None

    def put(self, rollout: Rollout) -> None:
        """Keep it, if it is a later one."""
        if self.rollout is None or rollout.writes > self.rollout.writes:
            self.rollout = rollout


def test_the_end_is_recorded_with_looks_that_the_config_map_leaves_out(world: World) -> None:
    stored = world.begin()
    assert stored.current is not None
    replace(world.controller.cluster, stored, _with_looks(stored.current, 100))
    world.controller.records = waiting = _Waiting()
    ended = world.until_over()
    assert waiting.rollout is not None
    assert waiting.rollout.over
    assert len(ended.looks) < 100 <= len(waiting.rollout.looks)


def test_the_same_state_with_fewer_looks_replaces_nothing_that_waits(server: PostgresServer, world: World) -> None:
    url = server.new_database()
    server.kill()
    archive = Archive(RecordsSettings(records_url=url, records_timeout_seconds=1), "fraud")  # type: ignore[arg-type]
    current = world.begin().current
    assert current is not None
    full = _with_looks(current, 100)
    archive.put(full)
    archive.put(full.archived())
    server.start()
    eventually(lambda: not archive._waiting)
    archive.put(full.archived())
    assert not archive._waiting
    (found,) = recorded(archive._settings, "fraud")
    assert found.looks == full.looks
    assert archive.close()


def test_a_controller_that_comes_later_records_what_ended_before_it(
    world: World, settings: RecordsSettings, archive: Archive
) -> None:
    world.begin()
    ended = world.until_over()
    world.controller.records = archive
    world.controller.tick()
    world.controller.tick()
    assert archive.close()
    assert _only(settings) == ended


def test_history_reads_what_the_config_map_has_forgotten(
    world: World,
    api: PlayedApi,
    settings: RecordsSettings,
    archive: Archive,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world.controller.records = archive
    world.begin()
    ended = world.until_over()
    archive.close()
    del api.objects[CONFIG_MAP]
    history = ["rollout", "history", "--output", "json"]
    assert main(history) == 2
    assert "no rollout of any release" in capsys.readouterr().err
    assert settings.records_url is not None
    monkeypatch.setenv("FRAUD_RECORDS_URL", settings.records_url.get_secret_value())
    monkeypatch.setenv("FRAUD_HOME", str(settings.home))
    assert main(history) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["name"], told["phase"]) == (ended.name, "promoted")
    assert main([*history, "--release", "other"]) == 2
    assert "neither the cluster nor the records know a rollout of release 'other'" in capsys.readouterr().err


def test_history_shows_the_config_map_when_the_records_do_not_answer(
    server: PostgresServer,
    world: World,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    world.begin()
    url = server.new_database()
    server.kill()
    monkeypatch.setenv("FRAUD_RECORDS_URL", url)
    monkeypatch.setenv("FRAUD_RECORDS_TIMEOUT_SECONDS", "1")
    assert [item.name for item in past_rollouts(cluster, "fraud")] == ["first"]
    assert "what is shown is the ConfigMap's" in caplog.text
    with pytest.raises(NotFound):
        past_rollouts(cluster, "other")


def test_the_later_state_counts_and_of_the_same_the_fuller(world: World) -> None:
    world.begin()
    ended = world.until_over()
    stored = find(world.controller.cluster, "fraud")
    assert stored is not None
    fuller, earlier = (
        ended.model_copy(update={"looks": ended.looks * 2}),
        ended.model_copy(update={"writes": 1, "phase": "running", "looks": ended.looks * 3}),
    )
    assert merged([ended], [earlier]) == (ended,)
    assert merged([ended], [fuller]) == (fuller,)
    older = ended.model_copy(update={"began": ended.began - timedelta(days=1)})
    assert merged([older], [ended]) == (ended, older)


def test_a_rollout_of_another_version_is_left_out(settings: RecordsSettings, world: World, archive: Archive) -> None:
    world.begin()
    current = world.stored().current
    assert current is not None
    archive.put(current)
    archive.put(current.model_copy(update={"name": "later", "schema_version": 2}))
    assert archive.close()
    assert [item.name for item in recorded(settings, "fraud")] == ["first"]


def test_without_records_there_is_no_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRAUD_RECORDS_URL", raising=False)
    assert archive_settings() is None
    monkeypatch.setenv("FRAUD_RECORDS_URL", "mysql://x")
    found = archive_settings()
    assert found is not None
    with pytest.raises((ConfigError, Unavailable), match="FRAUD_RECORDS_URL is of mysql"):
        recorded(found, "fraud")
