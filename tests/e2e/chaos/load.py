"""Clients that send all the time, repeat what got no answer, and remember what was acknowledged."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import httpx

from bentos.core.jobs import ENDED
from tests.fraud.jobs.payments import payments_csv
from tests.fraud.requests import transaction_json

__all__ = ["DOCUMENTED", "Story", "load"]

CLIENTS: Final = 3
#: Of each client; more than a store keeps event by event is folded into hours.
CUSTOMERS: Final = 40
JOB_ROWS: Final = 600
#: Jobs of which the end is not awaited.
JOBS_AT_ONCE: Final = 4
PAUSE: Final = 0.02
TIMEOUT: Final = 5.0
#: How long one call is repeated: longer than anything is away.
PATIENCE: Final = 300.0
#: Statuses that each call may answer.
DOCUMENTED: Final[dict[str, frozenset[int]]] = {
    "predict": frozenset({200, 429, 503}),
    "feedback": frozenset({200, 202, 429, 503}),
    "predict_batch": frozenset({202, 429, 503}),
    "job_status": frozenset({200, 429, 503}),
}


@dataclass
class Story:
    """What clients saw.

    Attributes
    ----------
    recorded, degraded, sent
        By customer, payments whose answer came with features or without, and payments that were tried.
    labels
        Transactions whose label was acknowledged.
    jobs
        Rows by the names of accepted jobs.
    keys
        How many jobs were tried; each has a key, so it is one job however often it is sent.
    statuses
        How often each answer came, by call; 0 is no answer: a connection that was cut or refused.
    latencies
        When each payment was sent, ``time.monotonic()``, and the seconds until its answer; without one, none.
    """

    recorded: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    labels: set[str] = field(default_factory=set)
    jobs: dict[str, int] = field(default_factory=dict)
    keys: int = 0
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    latencies: list[tuple[float, float]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    failures: list[BaseException] = field(default_factory=list)

    def note(self, call: str, status: int) -> None:
        """Count an answer."""
        with self.lock:
            self.statuses[call][status] += 1

    def undocumented(self) -> dict[str, set[int]]:
        """Answers that no document speaks of."""
        odd = {call: set(counts) - DOCUMENTED[call] - {0} for call, counts in self.statuses.items()}
        return {call: statuses for call, statuses in odd.items() if statuses}


def _answered(story: Story, call: str, send: Callable[[], httpx.Response]) -> httpx.Response:
    """The first answer that is no refusal: a call is repeated until there is one."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        started = time.monotonic()
        try:
            answer = send()
        except httpx.TransportError:
            story.note(call, 0)
        else:
            story.note(call, answer.status_code)
            if call == "predict":
                story.latencies.append((started, time.monotonic() - started))
            if answer.is_success:
                return answer
        time.sleep(PAUSE)
    raise AssertionError(f"{call} has got no answer for {PATIENCE:.0f} s: {story.statuses[call]}")


def _pay(http: httpx.Client, client: int, stop: threading.Event, story: Story, paid: queue.Queue[str]) -> None:
    for number in itertools.count():
        if stop.is_set():
            return
        customer, name = f"customer-{client}-{number % CUSTOMERS}", f"{client}-{number}"
        body = transaction_json(transaction_id=name, customer_id=customer)
        with story.lock:
            story.sent[customer] += 1
        answer = _answered(story, "predict", lambda body=body: http.post("/predict?explain=none", json=body))  # type: ignore[misc]
        with story.lock:
            (story.degraded if answer.json()["degraded"] else story.recorded)[customer] += 1
        if number % 5 == 0:
            paid.put(name)


def _label(http: httpx.Client, stop: threading.Event, story: Story, paid: queue.Queue[str]) -> None:
    while not stop.is_set():
        with contextlib.suppress(queue.Empty):
            name = paid.get(timeout=0.1)
            body = {"transaction_id": name, "label": "fraud" if hash(name) % 3 == 0 else "legitimate"}
            _answered(story, "feedback", lambda body=body: http.post("/feedback", json=body))  # type: ignore[misc]
            story.labels.add(name)


def _submit(http: httpx.Client, stop: threading.Event, story: Story) -> None:
    open_jobs: list[str] = []
    while not stop.is_set():
        if len(open_jobs) < JOBS_AT_ONCE:
            story.keys += 1
            headers = {"content-type": "text/csv", "idempotency-key": f"chaos-{story.keys}"}
            content = payments_csv(JOB_ROWS, name=f"j{story.keys}-")
            answer = _answered(
                story,
                "predict_batch",
                lambda content=content, headers=headers: http.post("/predict_batch", content=content, headers=headers),  # type: ignore[misc]
            )
            job_id = answer.json()["job_id"]
            story.jobs[job_id] = JOB_ROWS
            open_jobs.append(job_id)
        for job_id in list(open_jobs):
            answer = _answered(story, "job_status", lambda job_id=job_id: http.get(f"/job_status/{job_id}"))  # type: ignore[misc]
            if answer.json()["status"] in ENDED:
                open_jobs.remove(job_id)
        stop.wait(0.1)


@contextlib.contextmanager
def load(url: str) -> Iterator[Story]:
    """Payments, labels and jobs as long as the block lasts."""
    story, stop, paid = Story(), threading.Event(), queue.Queue[str]()

    def run(work: Callable[[httpx.Client], None]) -> None:
        try:
            with httpx.Client(base_url=url, timeout=TIMEOUT) as http:
                work(http)
        except BaseException as error:  # noqa: BLE001 - told by who checks
            story.failures.append(error)

    works: list[Callable[[httpx.Client], None]] = [
        *(lambda http, client=client: _pay(http, client, stop, story, paid) for client in range(CLIENTS)),  # type: ignore[misc]
        lambda http: _label(http, stop, story, paid),
        lambda http: _submit(http, stop, story),
    ]
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield story
    finally:
        stop.set()
        for thread in threads:
            thread.join()
