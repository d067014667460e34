from __future__ import annotations

import json

import pytest

from bentos.fraud.__main__ import main
from bentos.fraud.jobs.desk import Desk
from bentos.fraud.settings import ScoringSettings
from tests.fraud.jobs.payments import payments_csv, submit


@pytest.fixture
def desk(desk: Desk, settings: ScoringSettings, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The desk of the FRAUD_HOME that commands find."""
    monkeypatch.setenv("FRAUD_HOME", str(settings.home))
    if settings.records_url is not None:
        monkeypatch.setenv("FRAUD_RECORDS_URL", settings.records_url.get_secret_value())
    return desk


def test_looking_and_cancelling(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (submit(desk, payments_csv(1)).job_id for _ in range(2))
    assert main(["jobs", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[second, "pending"], [first, "pending"]]
    assert main(["jobs", "cancel", first]) == 0
    assert "cancelled" in capsys.readouterr().out
    assert main(["jobs", "list", "--state", "cancelled"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [first]
    assert main(["jobs", "status", second]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "pending"


def test_what_is_due(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    job_id = submit(desk, payments_csv(1)).job_id
    desk.cancel(job_id)
    assert main(["jobs", "expire"]) == 0
    assert "0 uploads" in capsys.readouterr().out
    assert desk.files.names() == []


def test_mistakes(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "status", "x"]) == 2
    assert "no job of this name" in capsys.readouterr().err
    assert main(["jobs", "worker", "--concurrency", "2"]) == 2
    assert "one process" in capsys.readouterr().err
