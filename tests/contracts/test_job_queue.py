"""What every queue of batch jobs keeps: with real workers, which are killed. A new one adds itself to ``QUEUES``."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from bentos.core.errors import Conflict, Expired
from bentos.core.jobs import ENDED, Job
from bentos.fraud.jobs.celery_app import QUEUE, Sender, make_app
from bentos.fraud.jobs.ledger import Ledger
from bentos.fraud.jobs.open import Places, open_desk, open_files, open_sweeper
from bentos.fraud.records.database import open_database, upgrade
from bentos.fraud.settings import ScoringSettings
from bentos.fraud.store import open_store
from tests.fraud.artifacts import make_champion
from tests.fraud.jobs.payments import payments_csv, result_column, submit
from tests.fraud.server import ROOT, environment
from tests.servers.rabbitmq import RabbitServer, running_rabbitmq
from tests.servers.redis import RedisServer, running_redis

QUEUES = ("embedded", "redis", "rabbitmq")
#: So small that a job has many.
CHUNK_ROWS = 50
#: Of a job that is caught in the middle.
LARGE_ROWS = 5_000
PATIENCE_SECONDS = 300.0
SCORED = re.compile(rb"job (\w+): scored chunk (\d+) of")


class Queue:
    """One queue with its database, its files, and a worker that comes and goes.

    Parameters
    ----------
    settings
        Of server and worker.
    broker
        Of it; None without one.
    """

    def __init__(self, settings: ScoringSettings, broker: RedisServer | RabbitServer | None) -> None:
        self.settings = settings
        self.broker = broker
        self.database = open_database(settings)
        self.desk = open_desk(settings, self.database)
        self.log = settings.home / "worker.log"
        self._worker: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start a worker, unless one runs."""
        if self._worker is not None:
            return
        url = self.settings.queue_url
        environ = environment(
            self.settings.home,
            FRAUD_BULK_CHUNK_ROWS=str(CHUNK_ROWS),
            FRAUD_JOB_SMALL_BYTES="1000",
            FRAUD_JOB_LEASE_SECONDS=str(self.settings.job_lease_seconds),
            FRAUD_JOB_SWEEP_SECONDS=str(self.settings.job_sweep_seconds),
            **({} if url is None else {"FRAUD_QUEUE_URL": url.get_secret_value()}),
        )
        concurrency = () if url is None else ("--concurrency", "2")
        command = [sys.executable, "-m", "bentos.fraud", "jobs", "worker", *concurrency]
        with self.log.open("ab") as log:
            self._worker = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)

    def kill(self) -> None:
        """kill -9 of the worker with its processes."""
        assert self._worker is not None
        main = psutil.Process(self._worker.pid)
        main.suspend()
        for process in (*main.children(recursive=True), main):
            process.kill()
        self._worker.wait()
        self._worker = None

    def end(self) -> int:
        """Ask the worker to end; its exit code."""
        assert self._worker is not None
        self._worker.terminate()
        code = self._worker.wait(PATIENCE_SECONDS)
        self._worker = None
        return code

    def until(self, job_id: str, reached: Callable[[Job], bool]) -> Job:
        """Wait until a job has got to somewhere."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached(job := self.desk.job(job_id)):
            assert time.monotonic() < deadline, f"{job}\n{self.log.read_text()[-3000:]}"
            time.sleep(0.02)
        return job

    def ended(self, job_id: str) -> Job:
        """Wait until a job has ended."""
        return self.until(job_id, lambda job: job.status in ENDED)

    def forget_messages(self) -> None:
        """Let the broker lose all that it has, or a worker not be woken."""
        if isinstance(self.broker, RedisServer):
            self.broker.kill()
            self.broker.start()
        elif self.broker is not None:
            with make_app(self.settings).connection_for_write() as connection, connection.channel() as channel:
                channel.queue_delete(QUEUE)
        else:
            Places(self.settings.home).pipe.unlink(missing_ok=True)

    def scored_chunks(self, job_id: str) -> list[int]:
        """Numbers of a job's chunks in the order in which workers told that they had scored them."""
        return [int(number) for name, number in SCORED.findall(self.log.read_bytes()) if name == job_id.encode()]

    def close(self) -> None:
        """End everything."""
        if self._worker is not None:
            self.kill()
        self.desk.close()
        self.database.close()


@pytest.fixture(scope="module", params=QUEUES)
def queue(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    """A queue, and what a server does for it beside."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    home = folder / "home"
    make_champion(home)
    with contextlib.ExitStack() as stack:
        broker: RedisServer | RabbitServer | None = None
        if request.param == "redis":
            broker = stack.enter_context(running_redis(folder))
        elif request.param == "rabbitmq":
            broker = stack.enter_context(running_rabbitmq(folder))
        url = None if broker is None else SecretStr(broker.url)
        settings = ScoringSettings(
            home=home, queue_url=url, job_processes=0, job_lease_seconds=1.5, job_sweep_seconds=0.5
        )
        upgrade(settings)
        open_store(settings).close()
        opened = Queue(settings, broker)
        stack.callback(opened.close)
        if url is not None:
            stack.enter_context(_sweeping(opened))
        yield opened


@contextlib.contextmanager
def _sweeping(queue: Queue) -> Iterator[None]:
    """What one worker of a server does for the workers of a broker."""
    sweeper = open_sweeper(queue.settings, queue.database, open_files(queue.settings))
    stopping = threading.Event()

    def sweep() -> None:
        while not stopping.wait(0.1):
            sweeper.sweep_if_due()

    thread = threading.Thread(target=sweep)
    thread.start()
    yield
    stopping.set()
    thread.join()
    sweeper.close()


def _names(rows: int) -> list[str]:
    return [f"t{index}" for index in range(rows)]


def test_what_waits_has_no_result(queue: Queue) -> None:
    job = submit(queue.desk, payments_csv(3))
    assert (job.status, job.rows_total, job.progress) == ("pending", None, 0)
    with pytest.raises(Conflict, match="pending"):
        queue.desk.result(job.job_id, None)
    assert queue.desk.cancel(job.job_id).status == "cancelled"
    with pytest.raises(Conflict, match="cancelled"):
        queue.desk.result(job.job_id, None)


def test_messages_that_were_lost(queue: Queue) -> None:
    job = submit(queue.desk, payments_csv(3))
    if queue.settings.queue_url is not None:
        sender = Sender(make_app(queue.settings))
        while not sender.waiting():
            time.sleep(0.02)
        sender.close()
    queue.forget_messages()
    queue.start()
    assert queue.ended(job.job_id).status == "completed"


def test_a_result_is_complete_and_in_order(queue: Queue) -> None:
    queue.start()
    job = submit(queue.desk, payments_csv(1_005), explain="all")
    ended = queue.ended(job.job_id)
    assert (ended.status, ended.progress, ended.error) == ("completed", 100, None)
    assert (ended.rows_total, ended.rows_done, ended.rows_failed) == (1_005, 1_005, 0)
    parts, form = queue.desk.result(job.job_id, "csv")
    assert form == "csv"
    content = list(parts)
    assert result_column(iter(content), "transaction_id") == _names(1_005)
    scores = result_column(iter(content), "score")
    assert all(isinstance(score, float) and 0 <= score <= 1 for score in scores)
    assert sorted(queue.scored_chunks(job.job_id)) == list(range(21))
    folder = Places(queue.settings.home).files / job.job_id
    deadline = time.monotonic() + PATIENCE_SECONDS
    while [path.name for path in folder.iterdir()] != ["result.parquet"]:
        assert time.monotonic() < deadline, list(folder.iterdir())
        time.sleep(0.02)


def test_bad_rows_have_their_errors_and_a_bad_file_its_own(queue: Queue) -> None:
    queue.start()
    rows = payments_csv(3).replace(b"1.5,", b"-1.5,")
    some, none = submit(queue.desk, rows), submit(queue.desk, b"PAR1 is no CSV")
    assert queue.ended(some.job_id).rows_failed == 1
    errors = result_column(queue.desk.result(some.job_id, "csv")[0], "error")
    assert [bool(error) for error in errors] == [False, True, False]
    failed = queue.ended(none.job_id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.startswith("file: is said to be csv")
    with pytest.raises(Conflict, match="failed"):
        queue.desk.result(none.job_id, None)


def test_killed_in_the_middle_it_goes_on_where_it_was(queue: Queue) -> None:
    queue.start()
    scored_before = queue.desk.ledger.totals()["rows_scored"]
    job = submit(queue.desk, payments_csv(LARGE_ROWS))
    queue.until(job.job_id, lambda job: job.rows_done > 5 * CHUNK_ROWS)
    queue.kill()
    caught = queue.desk.job(job.job_id)
    assert caught.status == "running"
    assert 0 < caught.rows_done < LARGE_ROWS
    before = queue.scored_chunks(job.job_id)
    queue.start()
    ended = queue.ended(job.job_id)
    assert (ended.status, ended.rows_done) == ("completed", LARGE_ROWS)
    chunks = queue.scored_chunks(job.job_id)
    assert before
    assert not set(before) & set(chunks[len(before) :])
    assert queue.desk.ledger.totals()["rows_scored"] - scored_before == LARGE_ROWS
    assert result_column(queue.desk.result(job.job_id, "csv")[0], "transaction_id") == _names(LARGE_ROWS)


def test_messages_that_come_more_than_once(queue: Queue) -> None:
    queue.start()
    scored_before = queue.desk.ledger.totals()["rows_scored"]
    job = submit(queue.desk, payments_csv(20 * CHUNK_ROWS))
    if queue.settings.queue_url is None:
        # A second process that takes the same job's chunks.
        with contextlib.ExitStack() as stack:
            other = Queue(queue.settings, None)
            other.log = queue.settings.home / "other.log"
            stack.callback(other.close)
            other.start()
            queue.ended(job.job_id)
    else:
        sender = Sender(make_app(queue.settings))
        sender.send([job.job_id] * 20)
        queue.ended(job.job_id)
        sender.send([job.job_id] * 5)
        sender.close()
    assert queue.desk.job(job.job_id).rows_done == 20 * CHUNK_ROWS
    assert queue.desk.ledger.totals()["rows_scored"] - scored_before == 20 * CHUNK_ROWS
    names = result_column(queue.desk.result(job.job_id, "csv")[0], "transaction_id")
    assert names == _names(20 * CHUNK_ROWS)


def test_cancelled_in_the_middle(queue: Queue) -> None:
    queue.start()
    job = submit(queue.desk, payments_csv(LARGE_ROWS))
    queue.until(job.job_id, lambda job: job.rows_done > 0)
    cancelled = queue.desk.cancel(job.job_id)
    assert cancelled.status == "cancelled"
    assert queue.desk.cancel(job.job_id).status == "cancelled"
    # The worker goes on with others, and nothing of this one stays.
    assert queue.ended(submit(queue.desk, payments_csv(2)).job_id).status == "completed"
    folder = Places(queue.settings.home).files / job.job_id
    deadline = time.monotonic() + PATIENCE_SECONDS
    while folder.exists():
        assert time.monotonic() < deadline, list(folder.iterdir())
        time.sleep(0.05)
    after = queue.desk.job(job.job_id)
    assert after.status == "cancelled"
    assert after.rows_done == cancelled.rows_done


def test_many_tiny_jobs_and_a_large_one(queue: Queue) -> None:
    """Nobody starves: the large one is not pushed back for ever, the tiny ones do not wait for its end."""
    queue.start()
    large = submit(queue.desk, payments_csv(LARGE_ROWS))
    tiny = [submit(queue.desk, payments_csv(2, name=f"j{number}-")) for number in range(60)]
    ended = [queue.ended(job.job_id) for job in tiny]
    assert {job.status for job in ended} == {"completed"}
    whole = queue.ended(large.job_id)
    assert whole.status == "completed"
    assert max(job.updated_at for job in ended) < whole.updated_at
    for number in (0, 31, 59):
        parts, _ = queue.desk.result(tiny[number].job_id, "csv")
        assert result_column(parts, "transaction_id") == [f"j{number}-0", f"j{number}-1"]


def test_results_expire(queue: Queue) -> None:
    queue.start()
    job = submit(queue.desk, payments_csv(2))
    queue.ended(job.job_id)
    soon = queue.settings.model_copy(update={"job_retention_hours": 1e-9})
    with contextlib.closing(open_sweeper(soon, queue.database, open_files(soon))) as sweeper:
        sweeper.sweep()
    assert queue.desk.job(job.job_id).status == "expired"
    with pytest.raises(Expired):
        queue.desk.result(job.job_id, None)
    assert not (Places(queue.settings.home).files / job.job_id).exists()


def test_a_worker_that_is_told_to_end(queue: Queue) -> None:
    queue.start()
    queue.ended(submit(queue.desk, payments_csv(2)).job_id)
    job = submit(queue.desk, payments_csv(LARGE_ROWS))
    queue.until(job.job_id, lambda job: job.rows_done > 0)
    assert queue.end() == 0
    assert queue.desk.job(job.job_id).status == "running"
    queue.start()
    assert queue.ended(job.job_id).rows_done == LARGE_ROWS


def test_a_broker_that_is_down(queue: Queue) -> None:
    if queue.broker is None:
        pytest.skip("there is no broker")
    queue.start()
    queue.broker.kill()
    job = submit(queue.desk, payments_csv(2))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while queue.desk.check().status == "ok":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "wait" in (queue.desk.check().detail or "")
    assert queue.desk.job(job.job_id).status == "pending"
    queue.broker.start()
    assert queue.ended(job.job_id).status == "completed"
    while queue.desk.check().status != "ok":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_broker_that_is_killed_in_the_middle(queue: Queue) -> None:
    if queue.broker is None:
        pytest.skip("there is no broker")
    queue.start()
    scored_before = queue.desk.ledger.totals()["rows_scored"]
    job = submit(queue.desk, payments_csv(LARGE_ROWS))
    queue.until(job.job_id, lambda job: job.rows_done > 0)
    queue.broker.kill()
    assert queue.desk.job(job.job_id).rows_done < LARGE_ROWS
    queue.broker.start()
    assert queue.ended(job.job_id).rows_done == LARGE_ROWS
    assert queue.desk.ledger.totals()["rows_scored"] - scored_before == LARGE_ROWS
    assert result_column(queue.desk.result(job.job_id, "csv")[0], "transaction_id") == _names(LARGE_ROWS)


def test_nothing_was_counted_twice_in_all_of_this(queue: Queue) -> None:
    ledger = Ledger(queue.database)
    jobs = ledger.jobs(None, 1000)
    done = sum(job.rows_done - job.rows_failed for job in jobs)
    assert ledger.totals()["rows_scored"] == done
    assert done > LARGE_ROWS
