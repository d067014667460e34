"""Scores a transaction over HTTP and gRPC, finds both in the metrics and nothing missing: what `helm test` runs."""

import json
import os
import socket
import sys
import time
import urllib.request
from datetime import UTC, datetime
from typing import Any

from bentos.client import FraudClient

HOST = os.environ["SERVICE_HOST"]
KEY = os.environ.get("SERVICE_KEY") or None
WAIT_SECONDS = 60


def counted() -> dict[str, float]:
    """Calls of predict answered by pods: the name without an address of its own leads to all, those that end too."""
    addresses = {item[4][0] for item in socket.getaddrinfo(os.environ["PODS_HOST"], 3000, socket.AF_INET)}
    totals = {}
    for address in addresses:
        try:
            with urllib.request.urlopen(f"http://{address}:3000/metrics", timeout=10) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            # It has ended meanwhile, and no call went to it.
            continue
        totals[str(address)] = sum(
            float(line.rpartition(" ")[2])
            for line in lines
            # What is not recorded counts as a request alone.
            if line.startswith("fraud_requests_total") and 'method="predict"' in line
        )
    return totals


def lacking(health: dict[str, Any]) -> list[str]:
    """Parts that do not work."""
    return [name for name, state in health["dependencies"].items() if state["status"] != "ok"]


def main() -> int:
    """Run the test; returns the exit code."""
    before = counted()
    payment = {
        "customer_id": "helm-test",
        "merchant_id": "helm-test",
        "amount": 12.5,
        "timestamp": datetime.now(UTC).isoformat(),
    }
    for url in (f"http://{HOST}:3000", f"grpc://{HOST}:3001"):
        with FraudClient(url, api_key=KEY) as client:
            prediction = client.predict(payment, record=False)
        print(f"{url}: {prediction.decision}, score {prediction.score:.4f}, model {prediction.model.version}")
    # Payments are scored whatever else is down; who installs should know it.
    with urllib.request.urlopen(f"http://{HOST}:3000/health", timeout=10) as answer:
        health = json.load(answer)
    if health["status"] != "ok":
        print(f"the service works without: {', '.join(lacking(health))}; /health has more", file=sys.stderr)
        return 1
    end = time.monotonic() + WAIT_SECONDS
    while True:
        after = counted()
        more = sum(count - before.get(pod, 0.0) for pod, count in after.items())
        if more >= 2:
            break
        if time.monotonic() > end:
            print(f"metrics count {more:g} of 2 calls", file=sys.stderr)
            return 1
        time.sleep(0.5)
    print(f"metrics count both: {sum(after.values()):g} calls of predict since the pods started")
    return 0


sys.exit(main())
