"""The load generator of generator.c: compiles it, runs it, reads what it noted.

A generator in Python would take the cores that the server needs. A request is meant to be sent at a given time; its
latency counts from then, so that a stall of the server, which keeps later requests from being sent, shows in theirs
(coordinated omission: Gil Tene, "How NOT to Measure Latency").
"""

from __future__ import annotations

import json
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CLOCK_SPEED",
    "CONNECTION_LOST",
    "NOT_SENT",
    "NO_ANSWER",
    "REFUSED",
    "STATUS_NAMES",
    "Client",
    "Generator",
    "Request",
    "Run",
    "constant",
    "poisson",
    "write_requests",
]

Protocol = Literal["http", "grpc"]

#: Between two questions whether a run has to end.
_LOOK_SECONDS: Final = 0.1
_SOURCE: Final = Path(__file__).with_name("generator.c")
_RECORD: Final = np.dtype(
    [("due", "<i8"), ("sent", "<i8"), ("done", "<i8"), ("status", "<i4"), ("request", "<u4")], align=False
)
#: When the clock of transactions began in this process, seconds since 1970 UTC, and how fast it goes.
_CLOCK_START: Final = int(time.time())
CLOCK_SPEED: Final = 20_000
_HEAD: Final = struct.Struct("<II")
_REQUEST: Final = struct.Struct("<III")
#: Statuses beside HTTP's own. A gRPC call that was answered counts as 200.
NOT_SENT: Final = -1
NO_ANSWER: Final = -2
CONNECTION_LOST: Final = -3
REFUSED: Final = -4
STATUS_NAMES: Final = {
    NOT_SENT: "not sent",
    NO_ANSWER: "no answer",
    CONNECTION_LOST: "connection lost",
    REFUSED: "refused",
}


@dataclass(frozen=True)
class Request:
    """One prepared request.

    Parameters
    ----------
    content
        The bytes: an HTTP/1.1 request, or a HEADERS and a DATA frame with stream number 0.
    budget
        Where in it the six digits are that say how many milliseconds its client still waits; 0 when nowhere.
    clock
        Where the day and time of its transaction begin, ``2026-01-31T12:00:00``; 0 when they stay as they are. Else
        they become those of a clock that goes :data:`CLOCK_SPEED` times faster than it should, from a year ago on: at
        10,000 requests a second transactions are two seconds apart, so that a run of a minute is two weeks of traffic
        in order of time. Repeated as they are, most would be days late, which the busiest keys pay for.
    """

    content: bytes
    budget: int = 0
    clock: int = 0


def write_requests(requests: Sequence[Request], path: Path) -> Path:
    """Write prepared requests as generator.c and wrk.lua read them."""
    with path.open("wb") as file:
        file.write(_HEAD.pack(_CLOCK_START, CLOCK_SPEED))
        for request in requests:
            file.write(_REQUEST.pack(len(request.content), request.budget, request.clock))
            file.write(request.content)
    return path


def constant(rate: float, seconds: float) -> NDArray[np.float64]:
    """Seconds from the start at which requests are due: as many a second, evenly."""
    return np.arange(int(rate * seconds)) / rate


def poisson(rate: float, seconds: float, seed: int = 0) -> NDArray[np.float64]:
    """The same, independent of each other: gaps follow an exponential distribution."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, int(1.2 * rate * seconds) + 100)
    due = np.cumsum(gaps)
    return due[due < seconds]


@dataclass(frozen=True)
class Run:
    """What became of the requests of one run.

    Attributes
    ----------
    due, sent, done
        Seconds from the start, float64 [n]; NaN when it never was.
    status
        int32 [n]: HTTP's, or one of ``STATUS_NAMES``.
    seconds
        How long requests were due, or a closed loop went on.
    start
        ``time.monotonic()`` second of the start.
    cpu_seconds
        The generator's own.
    reconnected
        Connections that had to be made anew.
    """

    due: NDArray[np.float64]
    sent: NDArray[np.float64]
    done: NDArray[np.float64]
    status: NDArray[np.int32]
    seconds: float
    start: float
    cpu_seconds: float
    reconnected: int

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Whether each got what it asked for."""
        result: NDArray[np.bool_] = self.status == 200
        return result

    @property
    def per_second(self) -> float:
        """Requests answered a second, while requests were sent."""
        return float(np.count_nonzero(self.answered & (self.done <= self.seconds)) / self.seconds)

    def latencies(self) -> NDArray[np.float64]:
        """Seconds from when each answered request was due to its answer."""
        result: NDArray[np.float64] = (self.done - self.due)[self.answered]
        return result

    def counts(self) -> dict[str, int]:
        """Requests by status."""
        values, counts = np.unique(self.status, return_counts=True)
        return {
            STATUS_NAMES.get(value, str(value)): count
            for value, count in zip(values.tolist(), counts.tolist(), strict=True)
        }


@dataclass(frozen=True)
class Client:
    """How requests are sent.

    Parameters
    ----------
    port
        Of the server.
    requests
        File of prepared requests, taken in turn.
    connections, streams
        Connections, and calls at a time on each; HTTP/1.1 has one.
    deadline_milliseconds
        How long a client waits for an answer; a request may tell the server what is left of it.
    patience_milliseconds
        How long one waits for a free connection; after that it is given up unsent.
    grace_milliseconds
        How long answers are awaited after the end.
    address
        Of the server, IPv4.
    """

    port: int
    requests: Path
    protocol: Protocol = "http"
    connections: int = 64
    streams: int = 1
    deadline_milliseconds: int = 10_000
    patience_milliseconds: int = 10_000
    grace_milliseconds: int = 2_000
    address: str = "127.0.0.1"


class Generator:
    """The compiled generator.

    Parameters
    ----------
    folder
        Where the program and its files are put.
    """

    def __init__(self, folder: Path) -> None:
        self._program = folder / "generator"
        self._folder = folder
        subprocess.run(
            ["gcc", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", str(self._program), str(_SOURCE)],
            check=True,
        )

    def open_loop(self, client: Client, due: NDArray[np.float64], ended: Callable[[], bool] | None = None) -> Run:
        """Send requests at given seconds from the start, whatever became of the earlier ones.

        Parameters
        ----------
        ended
            Asked often: once it says so, no more become due, and the run has only those that did.
        """
        with tempfile.NamedTemporaryFile(dir=self._folder) as file:
            (due * 1e9).astype("<i8").tofile(file.name)
            return self._run(client, file.name, float(due[-1]) if len(due) else 0.0, ended)

    def closed_loop(self, client: Client, seconds: float) -> Run:
        """Send the next request when the last one is answered."""
        return self._run(client, "-", seconds)

    def _run(self, client: Client, arrivals: str, seconds: float, ended: Callable[[], bool] | None = None) -> Run:
        with tempfile.NamedTemporaryFile(dir=self._folder) as file:
            arguments = (
                self._program,
                client.protocol,
                client.address,
                client.port,
                client.connections,
                client.streams,
                client.requests,
                arrivals,
                seconds,
                client.deadline_milliseconds,
                client.patience_milliseconds,
                client.grace_milliseconds,
                file.name,
            )
            program = subprocess.Popen(
                [str(item) for item in arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            with program:
                told, said = _watched(program, ended)
            if program.returncode:
                raise RuntimeError(f"the load generator ended with {program.returncode}: {said}")
            records = np.fromfile(file.name, _RECORD)
        story = json.loads(told)
        times = {
            name: np.where(records[name] == 0, np.nan, (records[name] - story["start"]) / 1e9)
            for name in ("due", "sent", "done")
        }
        return Run(
            **times,
            status=records["status"],
            seconds=seconds,
            start=story["start"] / 1e9,
            cpu_seconds=story["cpu_seconds"],
            reconnected=story["reconnected"],
        )


def _watched(program: subprocess.Popen[str], ended: Callable[[], bool] | None) -> tuple[str, str]:
    """What the generator printed; it is told to stop once ``ended`` says so."""
    while ended is not None:
        try:
            return program.communicate(timeout=_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if ended():
                program.terminate()
                break
    return program.communicate()
