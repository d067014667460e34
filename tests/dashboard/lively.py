"""A service as it is after a while: a challenger in its shadow, traffic that has drifted, labels, a Prometheus."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from bentos.core.artifact import write_artifact
from tests.fraud.artifacts import CARD, forest_contents, make_champion
from tests.fraud.server import environment, running_server
from tests.ports import free_port
from tests.servers.prometheus import Prometheus, running_prometheus
from tests.waiting import eventually

__all__ = ["PAYMENTS", "Lively", "running_lively"]

PAYMENTS = 240


@dataclass(frozen=True)
class Lively:
    """What runs."""

    url: str
    prometheus: Prometheus


@contextlib.contextmanager
def running_lively(folder: Path) -> Iterator[Lively]:
    """Run it until the block ends; with 240 payments that are recorded, scored by both models, and scraped."""
    home, other, port = folder / "champion", folder / "challenger", free_port()
    make_champion(home)
    card = CARD.model_copy(update={"version": "8"})
    write_artifact(other / "champion" / "artifact", forest_contents(trees=5, depth=3, card=card), private_key=None)
    quick = {"FRAUD_DRIFT_MINIMUM_ROWS": "50", "FRAUD_QUALITY_INTERVAL_SECONDS": "1"}
    shadow = {"FRAUD_SHADOW_URL": f"grpc://127.0.0.1:{port}", "FRAUD_SHADOW_TIMEOUT_MILLISECONDS": "60000"}
    with contextlib.ExitStack() as stack:
        environ = environment(other, FRAUD_ROLE="challenger", FRAUD_GRPC_HOST="127.0.0.1", FRAUD_GRPC_PORT=str(port))
        stack.enter_context(running_server(environ, log=folder / "challenger.log"))
        server = stack.enter_context(running_server(environment(home, **quick, **shadow), log=folder / "champion.log"))
        http = stack.enter_context(httpx.Client(base_url=server.url, timeout=60, trust_env=False))
        rows = [
            {
                "transaction_id": f"lively-{number}",
                "customer_id": f"c{number % 20}",
                "merchant_id": f"m{number % 7}",
                "amount": 40.0 * (number % 97),
                "timestamp": f"2026-05-30T12:{number // 60:02d}:{number % 60:02d}+02:00",
            }
            for number in range(PAYMENTS)
        ]
        answer = http.post("/predict_many", json={"transactions": rows})
        assert answer.status_code == 200, answer.text
        labels = [
            {"transaction_id": f"lively-{number}", "label": "fraud" if number % 97 > 70 else "legitimate"}
            for number in range(PAYMENTS)
        ]
        assert http.post("/feedback", json=labels).status_code in (200, 202)

        def said(name: str) -> bool:
            return any(line.startswith(name) for line in http.get("/metrics").text.splitlines())

        def paired() -> bool:
            lines = http.get("/metrics").text.splitlines()
            found = [line for line in lines if line.startswith("fraud_shadow_pairs_total")]
            return sum(float(line.rpartition(" ")[2]) for line in found) == PAYMENTS

        eventually(paired)
        eventually(lambda: said("fraud_shadow_labelled_pairs{") and said("fraud_score_psi{"))
        target = server.url.removeprefix("http://")
        prometheus = stack.enter_context(running_prometheus(folder / "prometheus", [target], "groups: []\n"))
        eventually(lambda: "fraud_feature_psi" in prometheus.names())
        yield Lively(server.url, prometheus)
