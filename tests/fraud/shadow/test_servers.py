"""Two real servers: a champion that answers, and a challenger in its shadow that dies, hangs and comes back."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from bentos.core.features.definitions import FEATURE_NAMES
from bentos.fraud.records.database import open_database
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.tables import PREDICTIONS, SHADOW_PAIRS
from bentos.fraud.scorer import Scorer
from bentos.protos._generated.fraud.v1.fraud_pb2 import Prediction, PredictRequest, Transaction
from tests.fraud.requests import transaction_json
from tests.fraud.server import Server, environment, running_server
from tests.ports import free_port
from tests.waiting import eventually

HOST = "127.0.0.1"


def _grpc(port: int) -> dict[str, str]:
    return {"FRAUD_GRPC_HOST": HOST, "FRAUD_GRPC_PORT": str(port)}


class Challenger:
    """A challenger's server that ends and begins when a test wants."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self._home = home
        self._stack = contextlib.ExitStack()
        self.server: Server | None = None

    def start(self) -> None:
        """Begin, at the same address each time."""
        environ = environment(self._home, FRAUD_ROLE="challenger", **_grpc(self.port))
        self.server = self._stack.enter_context(running_server(environ, log=self._home / "server.log"))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its first process, then to all that it began."""
        assert self.server is not None
        first = psutil.Process(self.server.process.pid)
        for process in (first, *first.children(recursive=True)):
            process.send_signal(number)

    def end(self) -> None:
        """Leave nothing behind."""
        self._stack.close()


@dataclass(frozen=True)
class Servers:
    """Both."""

    champion: Server
    challenger: Challenger
    client: httpx.Client
    home: Path

    def predict(self, *names: str, **query: str) -> list[dict[str, Any]]:
        """Ask the champion."""
        answers = []
        for name in names:
            sent = transaction_json(transaction_id=name, amount=float(sum(name.encode()) % 50 * 40))
            answer = self.client.post("/predict", json=sent, params=query)
            assert answer.status_code == 200, answer.text
            answers.append(answer.json())
        return answers

    def metric(self, name: str, server: Server | None = None, **labels: str) -> float:
        """The sum of a metric over the series that have these labels."""
        answer = httpx.get(f"{(server or self.champion).url}/metrics", timeout=60)
        return sum(
            sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def pairs(self) -> list[Any]:
        """Recorded pairs with their predictions, by transaction."""
        database = open_database(RecordsSettings(home=self.home))
        joined = PREDICTIONS.join(SHADOW_PAIRS, SHADOW_PAIRS.c.prediction_id == PREDICTIONS.c.id)
        columns = SHADOW_PAIRS.c
        try:
            with database.read() as connection:
                return list(
                    connection.execute(
                        select(
                            PREDICTIONS,
                            columns.score.label("challenger_score"),
                            columns.decision.label("challenger_decision"),
                            columns.challenger_version,
                        ).select_from(joined)
                    )
                )
        finally:
            database.close()


@pytest.fixture(scope="module")
def servers(champion_home: Path, challenger_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A champion with two workers, and its challenger."""
    folder = tmp_path_factory.mktemp("shadow")
    homes = [
        Path(shutil.copytree(home, folder / name))
        for name, home in (("champion", champion_home), ("challenger", challenger_home))
    ]
    challenger = Challenger(homes[1])
    shadow = {
        "FRAUD_SHADOW_URL": f"grpc://{HOST}:{challenger.port}",
        # What a call may take on a machine that is busy with other tests, and one that hangs may not.
        "FRAUD_SHADOW_TIMEOUT_MILLISECONDS": "3000",
        "FRAUD_QUALITY_INTERVAL_SECONDS": "0.2",
    }
    with contextlib.ExitStack() as stack:
        stack.callback(challenger.end)
        challenger.start()
        environ = environment(homes[0], workers=2, **_grpc(free_port()), **shadow)
        champion = stack.enter_context(running_server(environ, log=homes[0] / "server.log"))
        client = stack.enter_context(httpx.Client(base_url=champion.url, timeout=60))
        yield Servers(champion, challenger, client, homes[0])


def _by_grpc(servers: Servers, name: str) -> Prediction:
    sent = Transaction(customer_id="c-1", merchant_id="m-1", amount=3.0, timestamp="2026-01-31T12:00:00Z")
    sent.transaction_id = name
    with grpc.insecure_channel(f"{HOST}:{servers.champion.grpc_port}") as channel:
        call = channel.unary_unary(
            "/fraud.v1.FraudService/Predict",
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=Prediction.FromString,
        )
        answer: Prediction = call(PredictRequest(transaction=sent), timeout=60)
        return answer


def _await_pairs(servers: Servers, *names: str) -> dict[str, Any]:
    def found() -> dict[str, Any]:
        kept = {row.transaction_id: row for row in servers.pairs()}
        return kept if set(names) <= set(kept) else {}

    kept: dict[str, Any] = eventually(found)
    return kept


def test_both_models_score_the_same_rows(servers: Servers, challenger_scorer: Scorer) -> None:
    # Each sees more of its customer than the one before, and some come twice: their features are others by then.
    single = [f"http-{number}" for number in range(20)]
    answers = {one["transaction_id"]: one for one in servers.predict(*single)}
    servers.predict(*single[:5])
    many = [transaction_json(transaction_id=f"many-{number}", amount=5000.0 * number) for number in range(10)]
    assert servers.client.post("/predict_many", json={"transactions": many}).status_code == 200
    assert _by_grpc(servers, "grpc-0").transaction_id == "grpc-0"
    servers.predict("not-recorded", record="false")
    expected = {*single, *(one["transaction_id"] for one in many), "grpc-0"}
    kept = _await_pairs(servers, *expected)
    assert set(kept) == expected
    features = np.array([np.frombuffer(row.features, "<f8") for row in kept.values()])
    assert features.shape == (31, len(FEATURE_NAMES))
    # The features that the champion saw, to the bit.
    scores = challenger_scorer.score(features)[1].tolist()
    assert [row.challenger_score for row in kept.values()] == scores
    assert {row.challenger_version for row in kept.values()} == {"8"}
    assert {row.model_version for row in kept.values()} == {"7"}
    for name in single:
        assert kept[name].score == pytest.approx(answers[name]["score"], abs=1e-9)
    eventually(lambda: servers.metric("fraud_shadow_pairs_total", challenger_version="8", role="champion") == 31)
    assert servers.metric("fraud_shadow_decisions_total") == 31
    assert servers.metric("fraud_shadow_dropped_total") == 0


def test_the_challenger_decides_and_records_nothing(servers: Servers) -> None:
    servers.predict("decided")
    _await_pairs(servers, "decided")
    challenger = servers.challenger.server
    assert challenger is not None
    eventually(
        lambda: servers.metric("fraud_requests_total", challenger, method="shadow", code="OK", role="challenger")
    )
    assert servers.metric("fraud_predictions_total", challenger) == 0
    assert servers.metric("fraud_feature_lookups_total", challenger) == 0
    answer = httpx.get(f"{challenger.url}/predictions", timeout=60)
    assert answer.json()["predictions"] == []


def test_labels_make_both_sides_quality(servers: Servers) -> None:
    servers.predict("labelled")
    _await_pairs(servers, "labelled")
    assert servers.client.post("/feedback", json={"transaction_id": "labelled", "label": "fraud"}).status_code == 200
    labels = {"label": "fraud", "challenger_version": "8", "model_version": "7", "role": "champion"}
    for budget in ("own", "equal"):
        eventually(lambda budget=budget: servers.metric("fraud_shadow_labelled_pairs", budget=budget, **labels) == 1)


def test_a_challenger_that_dies_and_comes_back(servers: Servers) -> None:
    servers.challenger.signal(signal.SIGKILL)
    lost = [f"dead-{number}" for number in range(10)]
    # Nobody is answered later or otherwise for it.
    servers.predict(*lost)
    eventually(lambda: servers.metric("fraud_shadow_dropped_total", reason="unavailable") >= 10)
    assert not {*lost} & {row.transaction_id for row in servers.pairs()}
    servers.challenger.start()
    numbers = iter(range(10_000))

    def again() -> bool:
        servers.predict(f"back-{next(numbers)}")
        return any(row.transaction_id.startswith("back-") for row in servers.pairs())

    eventually(again)


def test_a_challenger_that_hangs_is_given_up(servers: Servers) -> None:
    before = servers.metric("fraud_shadow_dropped_total", reason="late")
    servers.challenger.signal(signal.SIGSTOP)
    try:
        numbers = iter(range(10_000))

        def late() -> bool:
            servers.predict(f"hung-{next(numbers)}")
            return servers.metric("fraud_shadow_dropped_total", reason="late") > before

        eventually(late)
    finally:
        servers.challenger.signal(signal.SIGCONT)

    def again() -> bool:
        servers.predict(f"going-{next(numbers)}")
        return any(row.transaction_id.startswith("going-") for row in servers.pairs())

    eventually(again)
    health = servers.client.get("/health").json()
    assert health["status"] == "ok", health
