"""What the pods of a Job print, as it comes: a thread for each pod, which goes on after a connection was lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final

from bentos.core.errors import FraudError, NotAllowed, NotFound
from k8s.cluster import Cluster

__all__ = ["Logs", "lines"]

#: Connections to one log that may be lost without a line between them.
_ATTEMPTS: Final = 10
_PAUSE_SECONDS: Final = 1.0


class Logs:
    """The logs of a Job's pods.

    Parameters
    ----------
    cluster
        Where they run.
    show
        Called with a pod's name and each of its lines, from any thread.
    """

    def __init__(self, cluster: Cluster, show: Callable[[str, str], None]) -> None:
        self._cluster = cluster
        self._show = show
        self._threads: dict[str, threading.Thread] = {}
        self._stopped = threading.Event()

    def follow(self, pod: str) -> None:
        """Show a pod's log from its start on, once."""
        if pod in self._threads:
            return
        # A second Ctrl-C leaves at once, whatever is silent.
        thread = threading.Thread(target=self._read, args=(pod,), name=f"log of {pod}", daemon=True)
        self._threads[pod] = thread
        thread.start()

    def finish(self, seconds: float) -> None:
        """Wait for the last lines of pods that have ended, then show no more."""
        for thread in self._threads.values():
            thread.join(seconds)
        self._stopped.set()

    def stop(self) -> None:
        """Show no more."""
        self._stopped.set()

    def _read(self, pod: str) -> None:
        last, failures = "", 0
        while not self._stopped.is_set():
            before = last
            try:
                with self._cluster.log(pod) as pieces:
                    for time, text in lines(pieces):
                        if self._stopped.is_set():
                            return
                        # A log that is read again begins at its start.
                        if time <= before:
                            continue
                        last = time
                        self._show(pod, text)
            except (NotFound, NotAllowed) as error:
                if isinstance(error, NotAllowed):
                    self._show(pod, f"(its log cannot be read: {error})")
                return
            except FraudError as error:
                failures = 0 if last != before else failures + 1
                if failures >= _ATTEMPTS:
                    self._show(pod, f"(its log cannot be read any more: {error})")
                    return
                self._stopped.wait(_PAUSE_SECONDS)
            else:
                return


def lines(pieces: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    """Time and text of each line of a log that comes in pieces; what no terminal should get is left out."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from map(_line, whole)
    if rest:
        yield _line(rest)


def _line(line: bytes) -> tuple[str, str]:
    time, _, text = line.decode(errors="replace").partition(" ")
    # Of a line that a program writes over and over again, the last.
    text = text.rstrip("\r").rpartition("\r")[2]
    return time, "".join(sign for sign in text if sign.isprintable() or sign == "\t")
