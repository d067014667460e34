"""``python -m k8s`` as a person runs it, with its output as it comes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.cluster.node import Cluster
from tests.fraud.server import ROOT

__all__ = ["Launch", "kill_container", "launched", "ran"]

_SECONDS = 600


@dataclass
class Launch:
    """A command that runs.

    Parameters
    ----------
    process
        Its process.
    lines
        What it said so far, on either stream.
    """

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._silent = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._silent = True
            self._changed.notify_all()

    def until(self, pattern: str) -> re.Match[str]:
        """The first line that matches, waited for."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            found.extend(match for line in self.lines if (match := re.search(pattern, line)))
            return bool(found) or self._silent

        with self._changed:
            self._changed.wait_for(look, _SECONDS)
        assert found, f"{pattern!r} was not said:\n" + "\n".join(self.lines)
        return found[0]

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def ends(self) -> int:
        """Its exit code, when all that it said is there."""
        code = self.process.wait(_SECONDS)
        self._reader.join(_SECONDS)
        return code

    @property
    def text(self) -> str:
        """All that it said."""
        return "\n".join(self.lines)


@contextlib.contextmanager
def launched(cluster: Cluster, *arguments: str, kubeconfig: Path | None = None) -> Iterator[Launch]:
    """Start ``python -m k8s``; it is ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "k8s", *arguments],
        cwd=ROOT,
        env={**cluster.environ, "KUBECONFIG": str(kubeconfig or cluster.kubeconfig), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    launch = Launch(process)
    try:
        yield launch
    finally:
        process.kill()
        launch.ends()


def ran(cluster: Cluster, *arguments: str, kubeconfig: Path | None = None) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``python -m k8s``."""
    done = subprocess.run(
        [sys.executable, "-m", "k8s", *arguments],
        cwd=ROOT,
        env={**cluster.environ, "KUBECONFIG": str(kubeconfig or cluster.kubeconfig), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def kill_container(cluster: Cluster, pod: Mapping[str, Any]) -> None:
    """kill -9 of a pod's processes where this machine is the node, else deletion without grace."""
    uid = str(pod["metadata"]["uid"])
    killed = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            own = uid in (folder / "cgroup").read_text().replace("_", "-")
            if own and not (folder / "cmdline").read_bytes().startswith(b"/pause"):
                os.kill(int(folder.name), signal.SIGKILL)
                killed += 1
    if not killed:
        options = ("--grace-period=0", "--force", "--wait=false")
        cluster.kubectl("delete", "pod", pod["metadata"]["name"], *options, namespace=pod["metadata"]["namespace"])
