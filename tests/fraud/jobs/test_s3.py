"""A server whose jobs' files, and whose callers' files, lie in buckets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import s3fs

from bentos.client import FraudClient
from bentos.core.errors import Overloaded
from bentos.fraud.__main__ import main
from tests.client.variants import PATIENT
from tests.fraud.artifacts import make_champion
from tests.fraud.bulk.tables import as_sent, transactions
from tests.fraud.jobs.payments import payments_csv
from tests.fraud.requests import transaction_json
from tests.fraud.server import environment, running_server
from tests.servers.s3 import S3, running_s3

PATIENCE_SECONDS = 300.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FRAUD_HOME with a champion."""
    made = tmp_path_factory.mktemp("buckets")
    make_champion(made)
    return made


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    # A later test's server is another.
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_server_keeps_its_jobs_in_a_bucket(s3: S3, home: Path, tmp_path: Path) -> None:
    jobs, payments = s3.bucket("jobs"), s3.bucket("payments-in")
    file = tmp_path / "payments.csv"
    file.write_bytes(payments_csv(12_000))
    payments.pipe_file("payments-in/may.csv", file.read_bytes())
    settings = {"FRAUD_JOBS_URL": "s3://jobs/here/", "FRAUD_JOB_SOURCES": "s3://payments-in/"}
    environ = environment(home, FRAUD_JOB_PROCESSES="1", **settings, **s3.variables)
    with (
        running_server(environ, log=home / "server.log") as server,
        FraudClient(server.url, options=PATIENT) as client,
    ):
        uploaded, named = client.predict_batch(file), client.predict_batch("s3://payments-in/may.csv")
        frames = []
        for job in (uploaded, named):
            ended = client.job_wait(job.job_id, timeout_seconds=PATIENCE_SECONDS)
            assert (ended.status, ended.rows_done, ended.rows_failed) == ("completed", 12_000, 0)
            frames.append(client.job_result(job.job_id))
        assert frames[0]["transaction_id"].tolist() == [f"t{index}" for index in range(12_000)]
        assert frames[0]["score"].tolist() == frames[1]["score"].tolist()
        kept = jobs.find("jobs/here")
        assert {path.split("/")[2] for path in kept} == {uploaded.job_id, named.job_id}


def test_a_bucket_that_is_away_stops_jobs_alone(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "payments.csv"
    file.write_bytes(payments_csv(10))
    with running_s3() as away:
        away.bucket("gone")
    environ = environment(home, FRAUD_JOBS_URL="s3://gone/", FRAUD_JOB_PROCESSES="1", **away.variables)
    with (
        running_server(environ, log=home / "away.log") as server,
        FraudClient(server.url, options=PATIENT) as client,
    ):
        with pytest.raises(Overloaded, match="jobs' files"):
            client.predict_batch(file)
        assert client.predict(transaction_json()).decision in {"approve", "review", "block"}


def test_a_data_set_in_a_bucket_is_scored_into_another(
    s3: S3, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**s3.variables, "FRAUD_HOME": str(home)}.items():
        monkeypatch.setenv(name, value)
    days, scores = s3.bucket("days"), s3.bucket("scores")
    for number in range(3):
        with days.open(f"days/day={number}/part.parquet", "wb") as stream:
            as_sent(transactions(300)).to_parquet(stream, index=False)
    arguments = ["bulk", "s3://days", "s3://scores/may"]
    assert main([*arguments, "--partition", "0/3"]) == 0
    capsys.readouterr()
    assert main(arguments) == 0
    assert "3 files, 1 of them done before" in capsys.readouterr().out
    results = [path for path in scores.find("scores/may") if path.endswith("/part.parquet")]
    assert [pq.read_metadata(scores.open(path)).num_rows for path in results] == [300, 300, 300]
