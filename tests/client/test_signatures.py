"""Blocking and asynchronous client are one interface."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from bentos.client import AsyncFraudClient, FraudClient

JOB_CALLS = ["predict_batch", "job_status", "job_wait", "job_result", "job_download", "job_cancel"]
CALLS = ["__init__", "predict", "explain", "predict_many", "predict_frame", "feedback", *JOB_CALLS, "health", "model"]


def _public(kind: type) -> list[str]:
    return [name for name in vars(kind) if not name.startswith("_")]


def test_they_have_the_same_calls() -> None:
    assert _public(FraudClient) == [*CALLS[1:], "close"]
    assert _public(AsyncFraudClient) == [*CALLS[1:], "aclose"]


@pytest.mark.parametrize("name", CALLS)
def test_they_take_and_give_the_same(name: str) -> None:
    blocking: Callable[..., Any] = getattr(FraudClient, name)
    asynchronous: Callable[..., Any] = getattr(AsyncFraudClient, name)
    assert inspect.signature(blocking) == inspect.signature(asynchronous)
