"""The examples of docs/client.md do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.variants import Service

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["checkout", "asyncio", "notebook"])
def test_examples_run(example: str, service: Service) -> None:
    # Not the deadlines of a checkout, but of a machine that is busy with other tests.
    script = (
        example.replace('"http://127.0.0.1:3000"', f'"{service.http}", options=PATIENT')
        .replace('"grpc://127.0.0.1:3001"', f'"{service.grpc}"')
        .replace("ClientOptions(timeout_seconds=0.3)", "PATIENT")
    )
    assert script.count("PATIENT") == 1
    script = f"from tests.client.variants import PATIENT\n{script}"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout
