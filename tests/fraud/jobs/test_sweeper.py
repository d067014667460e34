"""What is due: results that expire, files that belong to nobody, records that are forgotten."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from bentos.core.errors import Expired, NotFound, Unavailable
from bentos.fraud.jobs import sweep as sweep_module
from bentos.fraud.jobs.desk import Desk
from bentos.fraud.jobs.files import LocalFiles
from bentos.fraud.jobs.leases import Leases
from bentos.fraud.jobs.ledger import Ledger
from bentos.fraud.jobs.model import now
from bentos.fraud.jobs.open import Places, open_sweeper
from bentos.fraud.jobs.sweep import Sweep
from bentos.fraud.jobs.sweeper import Sweeper
from bentos.fraud.records.database import Database
from bentos.fraud.settings import ScoringSettings
from tests.fraud.jobs.payments import payments_csv, submit

NO_TIME = 1e-9


def _swept(settings: ScoringSettings, database: Database, **changes: float) -> None:
    changed = settings.model_copy(update=changes)
    open_sweeper(changed, database, LocalFiles(Places(settings.home).files)).sweep()


def _complete(desk: Desk, leases: Leases) -> str:
    job_id = submit(desk, payments_csv(1)).job_id
    work = leases.claim(job_id)
    assert work is not None
    leases.completed(work, 100, (1, 0))
    return job_id


def test_a_result_expires_and_is_forgotten(
    settings: ScoringSettings, database: Database, desk: Desk, leases: Leases
) -> None:
    old, waiting = _complete(desk, leases), submit(desk, payments_csv(1)).job_id
    _swept(settings, database)
    assert desk.job(old).status == "completed"
    _swept(settings, database, job_retention_hours=NO_TIME)
    assert desk.job(old).status == "expired"
    with pytest.raises(Expired):
        desk.result(old, None)
    assert desk.files.names() == [waiting]
    counts = desk.ledger.counts()
    assert (counts["expired"].jobs, counts["expired"].stored_bytes) == (1, 0)
    _swept(settings, database, job_record_hours=NO_TIME)
    with pytest.raises(NotFound):
        desk.job(old)
    assert desk.job(waiting).status == "pending"
    assert desk.ledger.totals()["rows_scored"] == 1


def test_files_of_a_cancelled_job_go_when_nobody_writes_them(
    settings: ScoringSettings, database: Database, desk: Desk
) -> None:
    leases = Leases(database, 60, 0)
    plan, chunk = submit(desk, payments_csv(1)).job_id, submit(desk, payments_csv(1)).job_id
    planning = leases.claim(plan)
    work = leases.claim(chunk)
    assert planning is not None
    assert work is not None
    leases.planned(work, 10, 1, 10)
    scoring = leases.claim(chunk)
    assert scoring is not None
    desk.cancel(plan)
    desk.cancel(chunk)
    _swept(settings, database)
    assert desk.files.names() == sorted([plan, chunk])
    leases.release(planning)
    _swept(settings, database)
    assert desk.files.names() == [chunk]
    leases.release(scoring)
    _swept(settings, database)
    assert desk.files.names() == []


def test_files_that_became_no_job(settings: ScoringSettings, database: Database, desk: Desk) -> None:
    accepted = submit(desk, payments_csv(1)).job_id
    left, upload = desk.open_upload()
    upload.write(b"half")
    upload.commit()
    (Places(settings.home).files / "notes").mkdir()
    sweeper = open_sweeper(settings, database, desk.files)
    assert sweeper.remove_left_files() == 0
    assert sweeper.remove_left_files(older_hours=-1) == 1
    assert desk.files.names() == [accepted]
    assert (Places(settings.home).files / "notes").exists()
    assert left not in desk.files.names()


def test_sweeping_at_once_does_no_harm(
    settings: ScoringSettings, database: Database, desk: Desk, leases: Leases
) -> None:
    jobs = [_complete(desk, leases) for _ in range(20)]
    threads = [
        threading.Thread(target=_swept, args=(settings, database), kwargs={"job_retention_hours": NO_TIME})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {desk.job(job_id).status for job_id in jobs} == {"expired"}
    assert desk.files.names() == []


class Broker:
    """A broker in which messages always wait, or that is down."""

    def __init__(self, *, is_up: bool = True) -> None:
        self.sent: list[str] = []
        self._is_up = is_up

    def send(self, job_ids: Sequence[str]) -> None:
        self.sent += job_ids

    def waiting(self) -> int:
        if not self._is_up:
            raise Unavailable("the broker is down")
        return 1

    def close(self) -> None:
        """Nothing is held open."""


def _sweeper(settings: ScoringSettings, database: Database, desk: Desk, broker: Broker) -> Sweeper:
    return Sweeper(Ledger(database), Sweep(database), desk.files, settings, broker)


def test_a_folder_that_cannot_be_removed_holds_nothing_up(
    settings: ScoringSettings, database: Database, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [submit(desk, payments_csv(1)).job_id for _ in range(3)]
    for job_id in jobs[:2]:
        desk.cancel(job_id)
    remove = LocalFiles.remove

    def refused(files: LocalFiles, job_id: str) -> None:
        if job_id == jobs[0]:
            raise Unavailable("permission denied")
        remove(files, job_id)

    monkeypatch.setattr(LocalFiles, "remove", refused)
    broker = Broker()
    _sweeper(settings, database, desk, broker).sweep()
    assert desk.files.names() == [jobs[0], jobs[2]]
    assert broker.sent == [jobs[2]]
    monkeypatch.undo()
    _sweeper(settings, database, desk, broker).sweep()
    assert desk.files.names() == [jobs[2]]


def test_a_broker_that_is_down_keeps_nothing_from_expiring(
    settings: ScoringSettings, database: Database, desk: Desk, leases: Leases
) -> None:
    old = _complete(desk, leases)
    changed = settings.model_copy(update={"job_retention_hours": NO_TIME})
    with pytest.raises(Unavailable, match="broker"):
        _sweeper(changed, database, desk, Broker(is_up=False)).sweep()
    assert desk.job(old).status == "expired"
    assert desk.files.names() == []


def test_a_message_that_was_lost_long_ago_is_sent_again_though_others_wait(
    settings: ScoringSettings, database: Database, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(desk, payments_csv(1)).job_id
    broker = Broker()
    swept = _sweeper(settings, database, desk, broker)
    with monkeypatch.context() as before:
        before.setattr(sweep_module, "now", lambda: now() - 2 * 3600 * 1_000_000)
        Sweep(database).sent([job_id])
    swept.sweep()
    swept.sweep()
    assert broker.sent == [job_id]
