"""What becomes of a step whose source, disk or database is not there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from bentos.core.errors import Unavailable
from bentos.fraud.jobs.heart import Hold
from bentos.fraud.jobs.model import now
from bentos.fraud.jobs.runner import Runner

HOUR = 3_600_000_000


class _Down(Runner):
    def _step(self, hold: Hold) -> None:  # noqa: ARG002 - whatever it is
        raise Unavailable("the disk of the work folder is full")


@pytest.mark.parametrize(("hours", "asked"), [(23, "release"), (25, "failed")])
def test_it_is_waited_for_a_day(hours: int, asked: str, tmp_path: Path) -> None:
    leases: Any = Mock()
    other: Any = Mock()
    job = SimpleNamespace(job_id="j", created_at=now() - hours * HOUR)
    hold: Any = SimpleNamespace(work=SimpleNamespace(job=job, chunk=None, attempts=1), stopped=lambda: False)
    _Down(other, leases, other, other, 3, "", tmp_path)._do(hold)
    ((name, arguments, _),) = leases.method_calls
    assert name == asked
    assert name == "release" or arguments[1] == "not within 24 hours: the disk of the work folder is full"
