"""The demo: everything starts with one command, lives, and ends with Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fraud.artifacts import make_champion
from tests.fraud.server import ROOT, environment
from tests.ports import free_port
from tests.waiting import eventually


def _get(url: str, **parameters: str) -> httpx.Response:
    return httpx.get(url, params=parameters, trust_env=False, timeout=30)


def _shadow_pairs(url: str) -> float:
    found = [line for line in _get(f"{url}/metrics").text.splitlines() if line.startswith("fraud_shadow_pairs_total")]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def _of_this_demo(home: Path) -> list[str]:
    """Commands of processes whose environment names the home."""
    mark = f"FRAUD_HOME={home}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().decode())
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_the_demo_lives_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    make_champion(tmp_path)
    challenger = make_champion(tmp_path / "other", trees=5)
    port, dashboard, grpc = free_port(), free_port(), free_port()
    options = ["--port", port, "--dashboard-port", dashboard, "--grpc-port", grpc, "--challenger", challenger]
    command = [sys.executable, "scripts/demo.py", "--bento", ".", "--rate", "40", *map(str, options)]
    environ = environment(tmp_path, PYTHONPATH=str(ROOT))
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        output = iter(process.stdout or ())
        said = ""
        while "Ctrl-C" not in said:
            said += next(output)
        url = f"http://127.0.0.1:{port}"
        assert url in said
        assert f"http://127.0.0.1:{dashboard}" in said
        assert _get(f"http://127.0.0.1:{dashboard}").is_success

        def labelled() -> Any:
            return _get(f"{url}/predictions", label="fraud").json()["predictions"]

        assert eventually(labelled)[0]["label"]["source"] == "chargeback"
        assert eventually(lambda: _shadow_pairs(url) > 100)
        # A new user's first transaction of the review queue, as the page labels it.
        waiting = eventually(lambda: _get(f"{url}/predictions", decision="flagged", label="none").json()["predictions"])
        label = {"transaction_id": waiting[0]["transaction_id"], "label": "fraud", "analyst": "ann", "source": "review"}
        assert httpx.post(f"{url}/feedback", json=label, trust_env=False, timeout=30).status_code == 200

        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
        assert eventually(lambda: not _of_this_demo(tmp_path)), _of_this_demo(tmp_path)
    finally:
        process.terminate()
        process.communicate(timeout=90)


def test_a_port_that_is_taken_is_named_and_nothing_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        command = [sys.executable, "scripts/demo.py", "--port", str(other.getsockname()[1])]
        environ = {**os.environ, "FRAUD_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is taken; choose another with --port" in done.stderr
    assert not list((tmp_path / "demo").glob("*.log"))
