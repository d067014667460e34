"""Everything at once on one machine: server, a challenger in its shadow, dashboard, live synthetic traffic.

``make demo`` runs it. Ctrl-C, or the end of one part, ends all of them. Logs lie in ``demo/`` under FRAUD_HOME.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
import httpx

__all__ = ["Parts", "main"]

_ROOT: Final = Path(__file__).parents[1]
_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 20.0


@dataclass
class Parts:
    """Processes that belong together.

    Parameters
    ----------
    folder
        Of their logs.
    """

    folder: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: list[str], environ: Mapping[str, str]) -> None:
        """Start a process. It leads a session of its own: Ctrl-C reaches this process alone, which ends the others."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(  # noqa: S603 - commands of this file
                command, cwd=_ROOT, env=dict(environ), stdout=log, stderr=log, start_new_session=True
            )

    def await_ready(self, name: str, url: str) -> None:
        """Wait until a part answers.

        Raises
        ------
        click.ClickException
            When it ended, or takes too long.
        """
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(url, timeout=5, trust_env=False).is_success:
                    return
            time.sleep(0.1)
        raise click.ClickException(f"{name} did not answer within {_START_SECONDS:g} s; see {self._log(name)}")

    def check(self) -> None:
        """Whether all run.

        Raises
        ------
        click.ClickException
            When one has ended.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                raise click.ClickException(f"{name} ended with {process.returncode}; see {self._log(name)}")

    def stop(self) -> None:
        """End all, the last one first."""
        while self._running:
            _, process = self._running.popitem()
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, interrupt)
    yield


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _refuse_taken(ports: Mapping[str, int]) -> None:
    for option, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise click.ClickException(f"port {port} is taken; choose another with {option}") from error


def _challenger(home: Path, folder: Path) -> Path | None:
    """The artifact of the newest version that is not champion, exported; None when there is none."""
    if not (home / "mlflow.db").is_file() and "MLFLOW_TRACKING_URI" not in os.environ:
        return None
    listed = _training("models", "--json")
    others = [item["version"] for item in json.loads(listed) if "champion" not in item["aliases"]]
    if not others:
        return None
    place = folder / f"challenger-{others[0]}"
    if not (place / "artifact" / "manifest.json").is_file():
        _training("export", others[0], "--output", str(place))
    return place / "artifact"


def _training(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - arguments of this file
        [sys.executable, "-m", "training", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise click.ClickException(f"`python -m training {arguments[0]}` failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def _serve(bento: str, port: int) -> list[str]:
    return [sys.executable, "-m", "bentoml", "serve", bento, "--host", "127.0.0.1", "--port", str(port)]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--bento", default="fraud_detector:latest", show_default=True, help="What is served.")
@click.option("--port", type=int, default=3000, show_default=True, help="Of the server, HTTP.")
@click.option("--grpc-port", type=int, default=3001, show_default=True, help="Of the server, gRPC.")
@click.option("--dashboard-port", type=int, default=8501, show_default=True)
@click.option("--rate", type=float, default=10, show_default=True, help="Payments a second.")
@click.option("--rows", type=int, default=10_000, show_default=True, help="Of the training data.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the training data.")
@click.option(
    "--challenger",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Artifact of the challenger.  [default: the newest registered version that is not champion]",
)
def main(
    bento: str,
    port: int,
    grpc_port: int,
    dashboard_port: int,
    rate: float,
    rows: int,
    seed: int,
    challenger: Path | None,
) -> None:
    """Run server, challenger, dashboard and traffic until Ctrl-C."""
    home = Path(os.environ.get("FRAUD_HOME", "var")).absolute()
    folder = home / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    ports = {"--port": port, "--grpc-port": grpc_port, "--dashboard-port": dashboard_port}
    _refuse_taken(ports)
    environ = {**os.environ, "FRAUD_HOME": str(home), "FRAUD_ACCESS_LOG": "false", "FRAUD_LOG_FORMAT": "text"}
    url, dashboard = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{dashboard_port}"
    parts = Parts(folder)
    try:
        with _terminable():
            click.echo("starting; this takes half a minute")
            shadow = _start_challenger(parts, challenger or _challenger(home, folder), bento, environ)
            parts.start("server", _serve(bento, port), {**environ, "FRAUD_GRPC_PORT": str(grpc_port), **shadow})
            streamlit = [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", "--server.address", "127.0.0.1"]
            parts.start(
                "dashboard",
                [*streamlit, "--server.port", str(dashboard_port)],
                {**environ, "FRAUD_DASHBOARD_SERVICE_URL": url},
            )
            parts.await_ready("server", f"{url}/readyz")
            traffic = [sys.executable, "scripts/demo_traffic.py", "--url", url, "--place", str(folder / "traffic")]
            numbers = ["--rate", str(rate), "--rows", str(rows), "--seed", str(seed)]
            parts.start("traffic", [*traffic, *numbers], environ)
            parts.await_ready("dashboard", f"{dashboard}/_stcore/health")
            click.echo(f"dashboard  {dashboard}   (open Review queue, write your name, label with the keys f and l)")
            click.echo(f"service    {url}   (API at /docs)")
            click.echo(f"logs       {folder}\nCtrl-C ends everything.")
            while True:
                parts.check()
                time.sleep(0.5)
    except KeyboardInterrupt:
        click.echo("\nending")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        parts.stop()


def _start_challenger(parts: Parts, artifact: Path | None, bento: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Start the challenger; returns the champion's settings that put it in the shadow."""
    if artifact is None:
        click.echo("there is no second model version: nothing is in the shadow")
        return {}
    grpc_port = _free_port()
    own = {
        "FRAUD_HOME": str(parts.folder / "challenger_home"),
        "FRAUD_ARTIFACT": str(artifact.absolute()),
        "FRAUD_ROLE": "challenger",
        "FRAUD_GRPC_PORT": str(grpc_port),
        "FRAUD_JOB_PROCESSES": "0",
        "FRAUD_DRIFT": "false",
    }
    parts.start("challenger", _serve(bento, _free_port()), {**environ, **own})
    return {"FRAUD_SHADOW_URL": f"grpc://127.0.0.1:{grpc_port}"}


if __name__ == "__main__":
    main()
