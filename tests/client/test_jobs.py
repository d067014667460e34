"""The client's calls about batch jobs, against a real service that does them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from bentos.core.errors import ConfigError, Conflict, InvalidInput, NotFound, Unavailable
from tests.client.variants import PATIENT, AnyClient, JobsService

PATIENCE_SECONDS = 60.0


@pytest.fixture(params=[False, True], ids=["blocking", "asyncio"])
def jobs_client(request: pytest.FixtureRequest, jobs_service: JobsService) -> Iterator[AnyClient]:
    """A client over HTTP of a service that does jobs."""
    with AnyClient(jobs_service.http, asynchronous=request.param, options=PATIENT) as opened:
        yield opened


def frame(rows: int) -> pd.DataFrame:
    """Payments, the second one wrong."""
    return pd.DataFrame(
        {
            "transaction_id": [f"t{index}" for index in range(rows)],
            "customer_id": "c1",
            "merchant_id": "m1",
            "amount": [-1.0 if index == 1 else 10.0 * index for index in range(rows)],
            "timestamp": pd.date_range("2026-05-01T12:00Z", periods=rows, freq="h"),
        }
    )


def test_a_table_comes_back_with_scores(jobs_client: AnyClient) -> None:
    job = jobs_client.predict_batch(frame(5), explain="all")
    assert job.status == "pending"
    ended = jobs_client.job_wait(job.job_id, timeout_seconds=PATIENCE_SECONDS)
    assert (ended.status, ended.rows_total, ended.rows_failed) == ("completed", 5, 1)
    result = jobs_client.job_result(job.job_id)
    assert result["transaction_id"].tolist() == [f"t{index}" for index in range(5)]
    assert result["score"].isna().tolist() == [False, True, False, False, False]
    assert "amount" in result["error"][1]
    assert len(result["reasons"][0]) == 3
    assert {"feature", "value", "contribution", "text"} == result["reasons"][0][0].keys()
    assert jobs_client.job_status(job.job_id) == ended


def test_a_file_comes_back_as_a_file(jobs_client: AnyClient, tmp_path: Path) -> None:
    source, target = tmp_path / "payments.csv", tmp_path / "scores.csv"
    frame(3).to_csv(source, index=False)
    job = jobs_client.predict_batch(source)
    jobs_client.job_wait(job.job_id, timeout_seconds=PATIENCE_SECONDS)
    jobs_client.job_download(job.job_id, target, form="csv")
    assert pd.read_csv(target)["transaction_id"].tolist() == ["t0", "t1", "t2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["payments.csv", "scores.csv"]


def test_a_file_of_the_server(jobs_client: AnyClient, jobs_service: JobsService) -> None:
    frame(4).to_csv(jobs_service.folder / "payments.csv", index=False)
    job = jobs_client.predict_batch(f"file://{jobs_service.folder}/payments.csv")
    assert jobs_client.job_wait(job.job_id, timeout_seconds=PATIENCE_SECONDS).rows_done == 4
    with pytest.raises(InvalidInput, match="uri"):
        jobs_client.predict_batch("file:///etc/passwd", form="csv")


def test_the_same_key_is_the_same_job(jobs_client: AnyClient, tmp_path: Path) -> None:
    key = {"idempotency-key": f"key-{tmp_path.name}"}
    first, again = (jobs_client.predict_batch(frame(2), headers=key) for _ in range(2))
    assert first.job_id == again.job_id
    assert jobs_client.predict_batch(frame(2)).job_id != first.job_id


def test_cancelling(jobs_client: AnyClient, tmp_path: Path) -> None:
    job = jobs_client.predict_batch(frame(2))
    jobs_client.job_wait(job.job_id, timeout_seconds=PATIENCE_SECONDS)
    with pytest.raises(Conflict, match="completed already"):
        jobs_client.job_cancel(job.job_id)


def test_a_bad_file_says_why(jobs_client: AnyClient, tmp_path: Path) -> None:
    source = tmp_path / "payments.parquet"
    source.write_bytes(b"no Parquet at all")
    job = jobs_client.job_wait(jobs_client.predict_batch(source).job_id, timeout_seconds=PATIENCE_SECONDS)
    assert job.status == "failed"
    assert "parquet" in (job.error or "").lower()
    with pytest.raises(Conflict, match="failed"):
        jobs_client.job_result(job.job_id)
    with pytest.raises(Conflict):
        jobs_client.job_download(job.job_id, tmp_path / "none.parquet")
    assert not (tmp_path / "none.parquet").exists()


def test_mistakes(jobs_client: AnyClient, tmp_path: Path) -> None:
    (tmp_path / "payments.txt").write_text("x")
    with pytest.raises(InvalidInput, match="say which form it has"):
        jobs_client.predict_batch(tmp_path / "payments.txt")
    with pytest.raises(NotFound):
        jobs_client.job_status("../health")
    with pytest.raises(NotFound):
        jobs_client.job_wait("x")


def test_waiting_ends(client: AnyClient, variant: tuple[str, bool]) -> None:
    """The service of the other tests does no jobs; over gRPC there are none."""
    if variant[0] == "grpc":
        with pytest.raises(ConfigError, match="call of HTTP"):
            client.predict_batch(frame(1))
        for call in ("job_status", "job_cancel", "job_result", "job_wait"):
            with pytest.raises(ConfigError, match="call of HTTP"):
                getattr(client, call)("x")
        return
    job = client.predict_batch(frame(1))
    with pytest.raises(Unavailable, match=r"still pending after 0\.2 seconds"):
        client.job_wait(job.job_id, timeout_seconds=0.2)
    with pytest.raises(Conflict, match="pending"):
        client.job_result(job.job_id)
    assert client.job_cancel(job.job_id).status == "cancelled"
