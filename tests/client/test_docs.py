"""The examples of docs/client.md do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.variants import JobsService, Service
from tests.fraud.jobs.payments import payments_csv

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["checkout", "asyncio", "notebook", "files", "labels"])
def test_examples_run(example: str, service: Service, jobs_service: JobsService, tmp_path: Path) -> None:
    http = jobs_service.http if "predict_batch" in example else service.http
    (tmp_path / "payments.csv").write_bytes(payments_csv(20))
    # Not the deadlines of a checkout, but of a machine that is busy with other tests.
    script = (
        example.replace('"http://127.0.0.1:3000"', f'"{http}", options=PATIENT')
        .replace('"grpc://127.0.0.1:3001"', f'"{service.grpc}"')
        .replace("ClientOptions(timeout_seconds=0.3)", "PATIENT")
    )
    assert script.count("PATIENT") == 1
    script = f"from tests.client.variants import PATIENT\n{script}"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout
