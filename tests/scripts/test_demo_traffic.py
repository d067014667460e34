"""Synthetic traffic against a real service: in order, once each, over a restart, with labels."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.demo_traffic import payments
from tests.fraud.artifacts import make_champion
from tests.fraud.server import ROOT, environment, running_server
from tests.ports import free_port
from tests.waiting import eventually
from training.data.synthetic import GeneratorConfig, generate_after, generate_table


def _traffic(url: str, place: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "scripts/demo_traffic.py", "--url", url, "--place", str(place), *options]
    # Its folder, not the tests', is on the path of a script: the packages are found as the tests find them.
    return subprocess.Popen(command, cwd=ROOT, env=environment(place.parent, PYTHONPATH=str(ROOT)), text=True)


def _kept(url: str) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    parameters = {"limit": "500"}
    while True:
        answer = httpx.get(f"{url}/predictions", params=parameters, trust_env=False, timeout=30)
        assert answer.is_success, answer.text
        kept += answer.json()["predictions"]
        if answer.json()["next"] is None:
            return kept
        parameters["cursor"] = answer.json()["next"]


def test_payments_go_on_where_the_table_ends() -> None:
    table = generate_table()
    upcoming = list(islice(payments(generate_after(GeneratorConfig())), 12_000))
    assert upcoming[0].time > table["timestamp"].iloc[-1]
    times = [payment.time for payment in upcoming]
    assert times == sorted(times)
    ids = {payment.fields["transaction_id"] for payment in upcoming}
    assert len(ids) == len(upcoming)
    assert ids.isdisjoint(table["transaction_id"])
    # Over the end of the next period too, there are only customers that the model has seen, and as many frauds.
    assert {payment.fields["customer_id"] for payment in upcoming} <= set(table["customer_id"])
    frauds = [payment for payment in upcoming if payment.reported]
    assert len(frauds) / len(upcoming) == pytest.approx(0.03, abs=0.005)
    assert all(payment.reported > payment.time for payment in frauds if payment.reported)


def test_traffic_waits_for_a_server_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    make_champion(tmp_path)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = tmp_path / "server.log"
    # Before there is a server.
    process = _traffic(url, tmp_path / "traffic", "--rate", "300", "--burst", "150", "--limit", "900")
    try:
        with running_server(environment(tmp_path), port=port, log=log):
            eventually(lambda: len(_kept(url)) > 200)
        assert process.poll() is None
        with running_server(environment(tmp_path), port=port, log=log):
            assert process.wait(60) == 0
            sent = [one.fields["transaction_id"] for one in islice(payments(generate_after(GeneratorConfig())), 920)]
            found = eventually(lambda: kept if len(kept := _kept(url)) >= 900 else None)
            assert Counter(item["transaction_id"] for item in found) == Counter(sent[:900])
            assert any(item["label"] and item["label"]["source"] == "chargeback" for item in found)

            # Started anew, it begins where it ended.
            assert _traffic(url, tmp_path / "traffic", "--rate", "300", "--burst", "0", "--limit", "20").wait(60) == 0
            found = eventually(lambda: kept if len(kept := _kept(url)) >= 920 else None)
            assert Counter(item["transaction_id"] for item in found) == Counter(sent)
    finally:
        process.kill()
        process.wait()
