"""Files of jobs, here and elsewhere."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
import s3fs

from bentos.core.errors import ConfigError, Unavailable
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.jobs import ENDED
from bentos.fraud.jobs import results
from bentos.fraud.jobs.desk import Desk
from bentos.fraud.jobs.files import JobFiles, LocalFiles
from bentos.fraud.jobs.model import new_job_id
from bentos.fraud.jobs.open import open_desk, open_files
from bentos.fraud.jobs.remote_files import RemoteFiles
from bentos.fraud.jobs.worker import open_parts
from bentos.fraud.records.database import open_database, upgrade
from bentos.fraud.settings import ScoringSettings
from tests.fraud.jobs.payments import payments_csv, result_column, submit
from tests.fraud.server import ROOT
from tests.servers.s3 import S3

Opener = Callable[[str], JobFiles]


@pytest.fixture(params=["local", "memory", "s3"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    """Opens the same place of files on any number of machines."""
    url = f"{request.param}://{uuid.uuid4().hex}/jobs"
    if request.param == "s3":
        server: S3 = request.getfixturevalue("s3")
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        server.bucket(url.split("/")[2])

    def open_one(machine: str) -> JobFiles:
        return LocalFiles(tmp_path / "jobs") if request.param == "local" else RemoteFiles(url, tmp_path / machine)

    yield open_one
    # Each holds a connection, and knows where the server was.
    s3fs.S3FileSystem.clear_instance_cache()


def _upload(files: JobFiles, content: bytes) -> str:
    job_id = new_job_id()
    upload = files.receive(job_id)
    upload.write(content)
    upload.commit()
    return job_id


def test_what_one_machine_makes_another_finds(opened: Opener) -> None:
    server, worker, other = opened("server"), opened("worker"), opened("other")
    job_id = _upload(server, b"rows")
    with fsspec.open(worker.source(job_id)) as stream:
        assert stream.read() == b"rows"
    (worker.folder(job_id) / "a").write_bytes(b"1")
    (worker.folder(job_id) / "b").write_bytes(b"22")
    worker.send(job_id)
    other.fetch(job_id, ["b"])
    assert (other.folder(job_id) / "b").read_bytes() == b"22"
    other.fetch(job_id)
    assert (other.folder(job_id) / "a").read_bytes() == b"1"
    assert server.size(job_id) == 7
    worker.keep(job_id, ["b"])
    assert server.size(job_id) == 2
    assert server.names() == [job_id]


def test_nothing_stays_of_what_is_removed(opened: Opener) -> None:
    server, worker = opened("server"), opened("worker")
    kept, removed, discarded = _upload(server, b"x"), _upload(server, b"x"), new_job_id()
    worker.fetch(removed)
    worker.remove(removed)
    worker.remove(removed)
    upload = server.receive(discarded)
    upload.write(b"half")
    upload.discard()
    upload.discard()
    assert server.names() == [kept]
    assert server.size(removed) == 0


def test_no_files_at_all(opened: Opener) -> None:
    files = opened("server")
    assert files.names() == []
    assert files.size(new_job_id()) == 0
    files.remove(new_job_id())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("a file")
    with pytest.raises(Unavailable, match="jobs' files"):
        LocalFiles(tmp_path / "jobs").receive(new_job_id())


def test_a_url_of_no_library(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="FRAUD_JOBS_URL"):
        RemoteFiles("nonsense://bucket/jobs", tmp_path)


@pytest.mark.parametrize(("rows", "small_bytes"), [(3, 0), (3, 10_000), (250, 0), (250, 100_000)])
def test_a_job_whose_files_are_elsewhere(home: Path, rows: int, small_bytes: int) -> None:
    """A server, a worker and their scratch folders share nothing but database and URL."""
    url = f"memory://{uuid.uuid4().hex}/jobs"
    settings = ScoringSettings(
        home=home, job_processes=0, jobs_url=url, bulk_chunk_rows=100, job_small_bytes=small_bytes
    )
    upgrade(settings)
    database = open_database(settings)
    desk = open_desk(settings, database)
    job = submit(desk, payments_csv(rows), result_form="csv")
    _work(settings, desk, job.job_id)
    assert desk.job(job.job_id).status == "completed"
    parts, form = desk.result(job.job_id, None)
    assert form == "csv"
    assert result_column(parts, "transaction_id") == [f"t{index}" for index in range(rows)]
    assert open_files(settings).size(job.job_id) > 0
    left = [path for path in (home / "serving" / "jobs.scratch").glob("*/*") if path.name != "lock"]
    assert left == []
    desk.close()
    database.close()


def _work(settings: ScoringSettings, desk: Desk, job_id: str) -> None:
    with open_parts(settings, threading.Event()) as parts:
        while desk.job(job_id).status not in ENDED:
            works = parts.leases.claim_next()
            assert works
            parts.runner.run(works)


def test_an_embedded_store_of_another_machine(home: Path, settings_with_broker: ScoringSettings) -> None:
    """A worker of a broker must not score with features that are not the server's."""
    database = open_database(settings_with_broker)
    desk = open_desk(settings_with_broker, database)
    desk._store = "of another machine"
    job = submit(desk, payments_csv(3))
    _work(settings_with_broker, desk, job.job_id)
    failed = desk.job(job.job_id)
    assert failed.status == "failed"
    assert "FRAUD_FEATURE_STORE=redis" in (failed.error or "")
    desk.close()
    database.close()


@pytest.fixture
def settings_with_broker(home: Path) -> ScoringSettings:
    """A broker that is not there, and an embedded store."""
    from pydantic import SecretStr

    from bentos.fraud.store import EmbeddedStore
    from tests.ports import free_port

    settings = ScoringSettings(home=home, queue_url=SecretStr(f"redis://127.0.0.1:{free_port()}/0"))
    upgrade(settings)
    EmbeddedStore(home / "serving" / "features.store", Pseudonyms("")).close()
    return settings


def test_a_result_is_handed_out_as_the_pipeline_left_it(tmp_path: Path) -> None:
    from bentos.fraud.bulk import pipeline

    assert results.RESULT == pipeline.RESULT
    (tmp_path / results.RESULT[0]).write_bytes(b"x" * 3_000_000)
    parts = results.read_parts((tmp_path / results.RESULT[0]).open("rb"), "parquet")
    # Retention does not break off what is on its way.
    first = next(parts)
    (tmp_path / results.RESULT[0]).unlink()
    rest = list(parts)
    assert rest
    assert first + b"".join(rest) == b"x" * 3_000_000


def test_handing_out_parquet_needs_no_library_of_tables() -> None:
    script = (
        "import sys; from pathlib import Path; import bentos.fraud.http.endpoints\n"
        "from bentos.fraud.jobs.results import read_parts\n"
        "file = Path(sys.argv[1]) / 'result.parquet'; file.write_bytes(b'x')\n"
        "assert list(read_parts(file.open('rb'), 'parquet')) == [b'x']\n"
        "print([name for name in ('pandas', 'pyarrow', 'celery', 'kombu', 'fsspec') if name in sys.modules])"
    )
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", script, folder]
        printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


def test_a_full_disk_keeps_no_half_of_an_upload(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ScoringSettings(home=home, job_processes=0)
    upgrade(settings)
    database = open_database(settings)
    desk = open_desk(settings, database)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(Unavailable, match="No space left"):
            submit(desk, payments_csv(3))
    assert desk.files.names() == []
    assert desk.ledger.counts()["pending"].jobs == 0
    desk.close()
    database.close()


def test_nothing_stays_of_what_is_handed_out_or_left(tmp_path: Path) -> None:
    files = RemoteFiles(f"memory://{uuid.uuid4().hex}/jobs", tmp_path)
    job_id = _upload(files, b"rows")
    (files.folder(job_id) / "result.parquet").write_bytes(b"scores")
    # Of a worker that was killed while it read the file.
    (files.folder(job_id) / ".plan-x").mkdir()
    (files.folder(job_id) / ".plan-x" / "rows").write_bytes(b"half")
    files.send(job_id)
    files.leave(job_id)
    assert files.size(job_id) == len(b"rows") + len(b"scores")
    stream = files.open(job_id, "result.parquet")
    assert stream is not None
    with stream:
        files.remove(job_id)
        assert stream.read() == b"scores"
    assert files.open(job_id, "result.parquet") is None
    left = [path.name for path in tmp_path.glob("*/*")]
    assert left == ["lock"]
    del files
    assert list(tmp_path.iterdir()) == []
