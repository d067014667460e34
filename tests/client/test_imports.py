from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import bentos.client


def _loaded(statement: str) -> str:
    heavy = ("pandas", "numpy", "grpc", "httpx", "google.protobuf")
    script = f"import sys; {statement}; print([name for name in {heavy} if name in sys.modules])"
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.parametrize(
    ("statement", "loaded"),
    [
        ("import bentos.client", "[]"),
        ("from bentos.client import FraudClient; FraudClient('http://127.0.0.1:1').close()", "['httpx']"),
        (
            "from bentos.client import FraudClient; FraudClient('grpc://127.0.0.1:1').close()",
            "['grpc', 'google.protobuf']",
        ),
    ],
    ids=["nothing", "http", "grpc"],
)
def test_libraries_are_imported_when_they_are_needed(statement: str, loaded: str) -> None:
    assert _loaded(statement) == loaded


def test_the_exported_names() -> None:
    assert bentos.client.__all__ == ["AsyncFraudClient", "ClientOptions", "FraudClient"]
