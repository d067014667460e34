"""A dashboard as users reach it: Streamlit's own server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.dashboard.conftest import APP, until
from tests.fraud.server import ROOT, environment
from tests.ports import free_port

__all__ = ["running_dashboard"]


@contextlib.contextmanager
def running_dashboard(
    home: Path, service_url: str, *options: str, port: int | None = None, **settings: str
) -> Iterator[str]:
    """Run a dashboard over a service until the block ends; gives its address.

    Parameters
    ----------
    home
        Its FRAUD_HOME, and where its log goes.
    service_url
        The service.
    options
        Of Streamlit.
    port
        Its port; None means a free one.
    settings
        More of its environment.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    given = {"FRAUD_DASHBOARD_SERVICE_URL": service_url, "FRAUD_DASHBOARD_TIMEOUT_SECONDS": "30", **settings}
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(port), *options]
    with (home / "streamlit.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(home, **given), stdout=log, stderr=log, start_new_session=True
        )
        try:
            until(lambda: process.poll() is not None or _answers(url))
            assert process.poll() is None, (home / "streamlit.log").read_text()
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_stcore/health", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False
