"""The thread that has copies scored: what becomes of them when the challenger is well, slow, wrong or gone."""

from __future__ import annotations

import logging
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from pydantic import SecretStr

from bentos.fraud.records.pairs import Pair
from bentos.fraud.scorer import Scorer, decide
from bentos.fraud.settings import ScoringSettings
from bentos.fraud.shadow.sender import Copy, Dropped, Reason, Sender
from tests.fraud.access.authority import Authority
from tests.fraud.access.test_guard import add
from tests.fraud.artifacts import training_rows
from tests.fraud.grpc.serving import HOST, Serving, serving_application
from tests.fraud.shadow.peer import Peer
from tests.waiting import eventually

ROWS = training_rows()[0].astype(np.float64)
#: What a call may take on a machine that is busy with other tests.
PATIENT = 60_000


class Sending:
    """A sender, and what became of the copies it got."""

    def __init__(self, settings: ScoringSettings) -> None:
        self.sender = Sender(settings)
        self.pairs: list[Pair] = []
        self.dropped: Counter[Reason] = Counter()
        self.offered = 0

    def offer(self, count: int) -> None:
        """Hand copies over."""
        names = range(self.offered, self.offered + count)
        self.offered += count
        self.sender.offer([_copy(number) for number in names])

    def taken(self) -> int:
        """How many have an outcome so far."""
        for outcome in self.sender.outcomes():
            if isinstance(outcome, Dropped):
                self.dropped[outcome.reason] += len(outcome.copies)
            else:
                self.pairs += outcome
        return len(self.pairs) + self.dropped.total()

    def settled(self) -> None:
        """Wait until each has its outcome."""
        eventually(lambda: self.taken() == self.offered)
        assert self.sender.waiting == 0


Start = Callable[..., Sending]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts senders."""
    started: list[Sending] = []

    def begin(url: str, **changes: Any) -> Sending:
        options = {"shadow_timeout_milliseconds": PATIENT, **changes}
        started.append(Sending(ScoringSettings(home=tmp_path, shadow_url=url, **options)))
        return started[-1]

    yield begin
    for sending in started:
        sending.sender.close()


def _copy(number: int) -> Copy:
    row = ROWS[number % len(ROWS)]
    return Copy(f"t-{number}", "fraud_detector", "7", 1000 + number, 0.5, "review", row.tobytes())


def test_every_copy_gets_the_challengers_score_of_its_own_row(
    start: Start, challenger: Serving, challenger_scorer: Scorer
) -> None:
    sending = start(f"grpc://{challenger.address}", shadow_batch_rows=64)
    sending.offer(1000)
    sending.settled()
    assert [pair.transaction_id for pair in sending.pairs] == [f"t-{number}" for number in range(1000)]
    scores = challenger_scorer.score(ROWS[:1000])[1].tolist()
    assert [pair.challenger_score for pair in sending.pairs] == scores
    decisions = [decide(score, challenger_scorer.thresholds) for score in scores]
    assert [pair.challenger_decision for pair in sending.pairs] == decisions
    assert set(decisions) == {"approve", "review", "block"}
    first = sending.pairs[0]
    assert (first.model_version, first.created_at, first.champion_score) == ("7", 1000, 0.5)
    assert (first.champion_decision, first.challenger_version) == ("review", "8")


def test_calls_are_no_larger_than_set(start: Start, peer: Peer) -> None:
    sending = start(peer.url, shadow_batch_rows=100)
    peer.gate.clear()
    sending.offer(1)
    eventually(lambda: peer.calls == [1])
    sending.offer(250)
    peer.gate.set()
    sending.settled()
    assert peer.calls == [1, 100, 100, 50]


CODES: dict[grpc.StatusCode, Reason] = {
    grpc.StatusCode.UNAVAILABLE: "unavailable",
    grpc.StatusCode.INTERNAL: "unavailable",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "overloaded",
    grpc.StatusCode.UNAUTHENTICATED: "refused",
    grpc.StatusCode.PERMISSION_DENIED: "refused",
    grpc.StatusCode.UNIMPLEMENTED: "refused",
    grpc.StatusCode.FAILED_PRECONDITION: "schema",
}


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_a_challenger_that_refuses_is_named_and_left_alone(
    start: Start, peer: Peer, caplog: pytest.LogCaptureFixture, code: grpc.StatusCode
) -> None:
    sending = start(peer.url, shadow_batch_rows=1)
    peer.code = code
    with caplog.at_level(logging.INFO, "bentos.fraud.shadow"):
        sending.offer(5000)
        sending.settled()
        assert sending.dropped == {CODES[code]: 5000}
        # Three, and one a second from then on: far fewer than there were copies.
        assert 3 <= len(peer.calls) < 1000
        peer.code = None

        def again() -> bool:
            sending.offer(1)
            sending.settled()
            return bool(sending.pairs)

        eventually(again)
    said = [record.message for record in caplog.records]
    assert len(said) == 2, said
    assert "scores no copies, they are dropped" in said[0]
    assert code.name in said[0]
    assert said[1].endswith("scores copies again")


def _nan(answer: Any) -> None:
    answer.scores[0] = float("nan")


def _large(answer: Any) -> None:
    answer.scores[0] = 1.5


def _short(answer: Any) -> None:
    del answer.scores[-1]


@pytest.mark.parametrize("change", [_nan, _large, _short])
def test_what_is_no_score_makes_no_pair(start: Start, peer: Peer, change: Callable[[Any], None]) -> None:
    sending = start(peer.url)
    peer.change = change
    sending.offer(10)
    sending.settled()
    assert sending.dropped == {"invalid": 10}


def test_a_challenger_that_is_too_slow(start: Start, peer: Peer) -> None:
    sending = start(peer.url, shadow_timeout_milliseconds=50, shadow_batch_rows=1)
    peer.gate.clear()
    sending.offer(10)
    sending.settled()
    assert sending.dropped == {"late": 10}


def test_one_that_is_not_there(start: Start) -> None:
    with socket.create_server((HOST, 0)) as taken:
        nobody = taken.getsockname()[1]
    sending = start(f"grpc://{HOST}:{nobody}")
    sending.offer(10)
    sending.settled()
    assert sending.dropped == {"unavailable": 10}


def test_the_end_does_not_wait_for_a_challenger_that_hangs(start: Start, peer: Peer) -> None:
    sending = start(peer.url, shadow_batch_rows=10)
    peer.gate.clear()
    sending.offer(25)
    eventually(lambda: peer.calls == [10])
    sending.sender.close()
    sending.settled()
    assert sending.dropped == {"stopped": 25}


@pytest.fixture
def guarded(challenger_home: Path, tmp_path: Path) -> Iterator[tuple[Serving, Path, str]]:
    """A challenger with certificate and keys: it, its authority's file, one key."""
    authority, keys = Authority(tmp_path / "authority"), tmp_path / "keys.json"
    certificate, private = authority.issue("challenger")
    home = Path(shutil.copytree(challenger_home, tmp_path / "guarded"))
    key = add(keys, "champion", "score")

    def settings(port: int) -> ScoringSettings:
        return ScoringSettings(
            home=home,
            role="challenger",
            grpc_host=HOST,
            grpc_port=port,
            grpc_tls_certificate=certificate,
            grpc_tls_key=private,
            api_keys_file=keys,
            prediction_log="none",
        )

    with serving_application(settings) as serving:
        yield serving, authority.file, key


def test_certificate_and_key(start: Start, guarded: tuple[Serving, Path, str]) -> None:
    serving, authority, key = guarded
    for options, outcome in (
        ({"shadow_ca_file": authority, "shadow_api_key": SecretStr(key)}, {}),
        ({"shadow_ca_file": authority}, {"refused": 10}),
        ({"shadow_ca_file": authority, "shadow_api_key": SecretStr("another")}, {"refused": 10}),
        ({"shadow_api_key": SecretStr(key)}, {"unavailable": 10}),
        ({"shadow_ca_file": authority.with_name("missing.pem")}, {"refused": 10}),
    ):
        sending = start(f"grpcs://{serving.address}", **options)
        sending.offer(10)
        sending.settled()
        assert sending.dropped == outcome, options
        assert len(sending.pairs) == 10 - sending.dropped.total()
