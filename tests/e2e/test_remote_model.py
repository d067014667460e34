"""Two real servers: one scores transactions, the other runs its model, is killed under load, and comes back."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.fraud.artifacts import make_champion
from tests.fraud.requests import transaction_json
from tests.fraud.server import Server, environment, running_server
from tests.fraud.test_start import refusal
from tests.ports import free_port

HOST = "127.0.0.1"
SECONDS = 120.0
CLIENTS = 4
ENOUGH = 50


@dataclass
class Load:
    """Clients that ask without pause; what they got, in order."""

    url: str
    ended: threading.Event = field(default_factory=threading.Event)
    #: Statuses that are no success.
    failed: list[int] = field(default_factory=list)
    #: Whether each answer was the rules'.
    by_rules: list[bool] = field(default_factory=list)

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=SECONDS) as client:
            while not self.ended.is_set():
                answer = client.post("/predict", params={"record": False}, json=transaction_json())
                if answer.status_code == httpx.codes.OK:
                    self.by_rules.append("model" in answer.json()["degraded"])
                else:
                    self.failed.append(answer.status_code)

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end, "it did not come true"
            time.sleep(0.05)

    def until_answers(self, *, by_rules: bool) -> None:
        """Wait for enough answers of one kind after now."""
        before = len(self.by_rules)
        self.until(lambda: self.by_rules[before:].count(by_rules) >= ENOUGH)


@contextlib.contextmanager
def load_on(server: Server) -> Iterator[Load]:
    load = Load(server.url)
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(load.run) for _ in range(CLIENTS)]
        try:
            yield load
        finally:
            load.ended.set()
        for client in clients:
            client.result(SECONDS)


def _homes(folder: Path) -> tuple[Path, Path]:
    """Of both servers, with one champion."""
    make_champion(folder / "model")
    return folder / "model", Path(shutil.copytree(folder / "model", folder / "front"))


def _kill(server: Server) -> None:
    """As kill -9 does, the whole server: its workers are in sessions of their own."""
    parent = psutil.Process(server.process.pid)
    processes = [parent, *parent.children(recursive=True)]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes[1:], SECONDS)
    server.process.wait(SECONDS)


def _model_server(home: Path, port: int) -> contextlib.AbstractContextManager[Server]:
    grpc = {"FRAUD_GRPC_HOST": HOST, "FRAUD_GRPC_PORT": str(port)}
    return running_server(environment(home, **grpc), log=home / "model.log")


def test_the_model_server_is_killed_under_load_and_comes_back(tmp_path: Path) -> None:
    model_home, home = _homes(tmp_path)
    port = free_port()
    settings = {"FRAUD_MODEL_URL": f"grpc://{HOST}:{port}", "FRAUD_MODEL_TIMEOUT_MILLISECONDS": "20000"}
    front = running_server(environment(home, workers=2, **settings), log=home / "server.log")
    with contextlib.ExitStack() as stack:
        model = stack.enter_context(_model_server(model_home, port))
        server = stack.enter_context(front)
        load = stack.enter_context(load_on(server))
        load.until_answers(by_rules=False)
        assert not any(load.by_rules)
        _kill(model)
        load.until_answers(by_rules=True)
        stack.enter_context(_model_server(model_home, port))
        load.until_answers(by_rules=False)
        load.until(lambda: _model_state(server) == "ok")
        assert load.failed == []


def test_a_server_whose_model_is_another_says_so_and_does_not_start(tmp_path: Path) -> None:
    model_home, home = _homes(tmp_path)
    port = free_port()
    with _model_server(model_home, port):
        message = refusal(home, "--host", HOST, FRAUD_MODEL_URL=f"grpc://{HOST}:{port}", FRAUD_MODEL_VERSION="999")
    assert f"the server at grpc://{HOST}:{port} does not serve 'fraud_detector' version '999'" in message


def _model_state(server: Server) -> str:
    state: str = httpx.get(f"{server.url}/health", timeout=SECONDS).json()["dependencies"]["model"]["status"]
    return state
