"""What the server has imported before it listens: all that pages import at once, and nothing that takes seconds."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dashboard.warm import warm_registry
from tests.fraud.server import ROOT

PAGES = [ROOT / "dashboard" / "main.py", *sorted((ROOT / "dashboard" / "views").glob("[!_]*.py"))]
PROGRAM = "import json, sys; from dashboard.warm import warm; warm(); print(json.dumps(sorted(sys.modules)))"


#: Whether MLflow is there when the server begins to answer, a while later, and its thread with a server that ends.
LATER = """
import asyncio, json, sys, threading, time
from dashboard.warm import warmed

async def serve(seconds):
    async with warmed(None):
        begun, deadline = "mlflow" in sys.modules, time.monotonic() + seconds
        # The last module that opening a database takes.
        while "mlflow.store.tracking.sqlalchemy_store" not in sys.modules and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        return begun, "mlflow.store.tracking.sqlalchemy_store" in sys.modules

short, long = asyncio.run(serve(0)), asyncio.run(serve(90))
print(json.dumps([short, long]))
"""


def _imported_at_once() -> set[str]:
    found = set()
    for page in PAGES:
        for node in ast.parse(page.read_text()).body:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module))
    return found


def test_the_registry_is_opened_a_while_after_the_start(tmp_path: Path) -> None:
    environ = {**os.environ, "FRAUD_HOME": str(tmp_path)}
    environ.pop("MLFLOW_TRACKING_URI", None)
    (tmp_path / "mlflow.db").touch()
    done = subprocess.run(
        [sys.executable, "-c", LATER], cwd=ROOT, capture_output=True, text=True, check=True, env=environ
    )
    assert json.loads(done.stdout) == [[False, False], [False, True]]


def test_a_registry_that_cannot_be_opened_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dashboard.warm")
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://nowhere")
    warm_registry()
    assert "the registry was not opened ahead" in caplog.text


def test_the_first_visitor_waits_for_no_import() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout))
    wanted = _imported_at_once()
    assert {"pandas", "altair", "dashboard.charts"} <= wanted
    assert not wanted - modules
    # Seconds each, for one page each.
    assert not modules & {"mlflow", "kubernetes"}
    # Scripts are run, not imported.
    assert not modules & {"dashboard.main", "dashboard.app", "dashboard.views"}
