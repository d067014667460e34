from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from bentos.core.errors import RegistryError
from bentos.core.settings import TrainingSettings
from tests.ports import free_port
from tests.training.registry.standins import train_and_record
from training.registry.client import connect
from training.registry.promotion import promote

ROOT = Path(__file__).resolve().parents[3]


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(RegistryError, match=f"MLflow at {uri} does not answer"):
        connect(TrainingSettings(home=tmp_path, MLFLOW_TRACKING_URI=uri))


def test_the_password_of_a_server_is_not_shown(tmp_path: Path) -> None:
    uri = f"http://me:secret@127.0.0.1:{free_port()}"
    with pytest.raises(RegistryError) as caught:
        connect(TrainingSettings(home=tmp_path, MLFLOW_TRACKING_URI=uri))
    assert "secret" not in str(caught.value)


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match="check space and permissions"):
        connect(TrainingSettings(home=tmp_path / "file" / "home", MLFLOW_TRACKING_URI=None))


def test_settings_of_the_next_caller_are_not_touched(settings: TrainingSettings) -> None:
    before = os.environ.get("MLFLOW_TRACKING_URI")
    connect(settings)
    assert os.environ.get("MLFLOW_TRACKING_URI") == before


def test_connecting_is_quiet_and_stays_on_this_machine(tmp_path: Path) -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*_): raise SystemExit('the network was used')\n"
        "socket.socket.connect = refuse\n"
        "from pathlib import Path\n"
        "from bentos.core.settings import TrainingSettings\n"
        "from training.registry.client import connect\n"
        "connect(TrainingSettings(home=Path(sys.argv[1]), MLFLOW_TRACKING_URI=None))\n"
        "from mlflow.telemetry import get_telemetry_client\n"
        "assert get_telemetry_client() is None\n"
    )
    # CI switches MLflow's telemetry off by itself; here it must be off without that.
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_CURRENT_TEST")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_several_trainings_may_make_the_database_at_once(tmp_path: Path) -> None:
    settings = TrainingSettings(home=tmp_path, MLFLOW_TRACKING_URI=None)
    with ThreadPoolExecutor(3) as pool:
        found = {connection.experiment_id for connection in pool.map(connect, [settings] * 3)}
    assert len(found) == 1


@pytest.mark.slow
def test_a_server_keeps_runs_and_artifacts(tmp_path: Path, table: pd.DataFrame) -> None:
    port = free_port()
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"),
            *("--artifacts-destination", str(tmp_path / "artifacts"), "--serve-artifacts", "--workers", "1"),
        ],
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        settings = TrainingSettings(home=tmp_path / "home", MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")
        for _ in range(240):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert server.poll() is None, "the server ended"
            time.sleep(0.5)
        recorded = train_and_record(settings, table, tmp_path)
        assert recorded.version == "1"
        promoted = promote(settings)
        assert promoted.version.number == "1"
        assert (settings.home / "champion" / "artifact" / "model.onnx").is_file()
        assert not (settings.home / "mlflow.db").exists()
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=60)
