"""Settings come from the environment, once, and keep their secrets."""

from __future__ import annotations

import pytest

from bentos.core.errors import ConfigError
from bentos.core.settings import ServingSettings, TrainingSettings, load_settings


def test_fields_are_read_with_their_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_INFERENCE_THREADS", "3")
    assert load_settings(ServingSettings).inference_threads == 3


def test_the_registry_is_read_from_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert load_settings(TrainingSettings).mlflow_tracking_uri == "http://127.0.0.1:5000"


def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_INFERENCE_THREADS", "many-secret")
    with pytest.raises(ConfigError, match="FRAUD_INFERENCE_THREADS") as caught:
        load_settings(ServingSettings)
    assert "many-secret" not in str(caught.value)


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_PSEUDONYM_KEY", "hunter2")
    assert "hunter2" not in repr(load_settings(ServingSettings))
