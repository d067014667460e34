from __future__ import annotations

import pytest

from bentos.core.errors import ConfigError
from bentos.core.settings import load_settings
from bentos.fraud.settings import ScoringSettings


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis", "127.0.0.1:6379", "sqs://a:secret@b"])
def test_brokers_that_are_none(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("FRAUD_QUEUE_URL", url)
    with pytest.raises(ConfigError, match=r"FRAUD_QUEUE_URL: .*must begin with redis://") as refused:
        load_settings(ScoringSettings)
    assert "secret" not in str(refused.value)


def test_a_broker_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_QUEUE_URL", "amqp://user:password@broker//")
    settings = load_settings(ScoringSettings)
    assert "password" not in repr(settings)
    assert settings.queue_url is not None
    assert settings.queue_url.get_secret_value().startswith("amqp://user:password@")


def test_a_relative_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Server and workers run in different folders."""
    monkeypatch.setenv("FRAUD_JOBS_URL", "var/jobs")
    with pytest.raises(ConfigError, match="FRAUD_JOBS_URL"):
        load_settings(ScoringSettings)
