"""Copies out of the records, pairs into them: what is chosen, what is bounded, and what is counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from bentos.fraud.metrics import SCORES
from bentos.fraud.records.tables import PREDICTIONS, SHADOW_PAIRS
from bentos.fraud.records.values import COLUMNS, Values, completed
from bentos.fraud.settings import ScoringSettings
from bentos.fraud.shadow.desk import ShadowDesk, open_shadow
from tests.fraud.records.predicted import Book, opened, predicted
from tests.fraud.shadow.peer import Peer
from tests.waiting import eventually

MODEL = {"model_name": "fraud_detector", "model_version": "7", "role": "champion"}
BOTH = {**MODEL, "challenger_version": "8"}


class Work:
    """A desk, its records and its metrics."""

    def __init__(self, settings: ScoringSettings, book: Book) -> None:
        self.book = book
        self.registry = CollectorRegistry()
        opened_desk = open_shadow(settings, book.database, self.registry)
        assert opened_desk is not None
        self.desk: ShadowDesk = opened_desk

    def record(self, *predictions: Any, **options: Any) -> list[Values]:
        """Record predictions and hand them over."""
        values = self.book.values(*predictions, **options)
        self.book.keep(*predictions, **options)
        self.desk.offer(values)
        return values

    def value(self, name: str, **labels: str) -> float:
        """A metric; 0 when it was never counted."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def dropped(self) -> dict[str, float]:
        """By reason."""
        return {
            sample.labels["reason"]: sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == "fraud_shadow_dropped_total"
        }

    @property
    def pairs(self) -> float:
        """Counted so far."""
        self.desk.settle()
        return self.value("fraud_shadow_pairs_total", **BOTH)

    def kept(self) -> list[Any]:
        """Pairs with their predictions."""
        joined = SHADOW_PAIRS.join(PREDICTIONS, SHADOW_PAIRS.c.prediction_id == PREDICTIONS.c.id)
        with self.book.database.read() as connection:
            return list(
                connection.execute(
                    select(PREDICTIONS.c.transaction_id, SHADOW_PAIRS.c.score, SHADOW_PAIRS.c.created_at)
                    .select_from(joined)
                    .order_by(PREDICTIONS.c.id)
                )
            )


Open = Callable[..., Work]


@pytest.fixture
def open_desk(tmp_path: Path, peer: Peer) -> Iterator[Open]:
    """Opens desks."""
    works: list[Work] = []

    with opened(ScoringSettings(home=tmp_path)) as book:

        def make(**changes: Any) -> Work:
            options = {"shadow_url": peer.url, "shadow_timeout_milliseconds": 60_000, **changes}
            works.append(Work(ScoringSettings(home=tmp_path, **options), book))
            return works[-1]

        yield make
        for work in works:
            work.desk.close()


def _many(*numbers: int, **options: Any) -> list[Any]:
    return [predicted(f"t-{number}", **options) for number in numbers]


def test_without_a_challenger_there_is_no_desk(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    with opened(ScoringSettings(home=tmp_path)) as book:
        assert open_shadow(ScoringSettings(home=tmp_path), book.database, registry) is None
    assert not list(registry.collect())


def test_pairs_are_recorded_and_counted(open_desk: Open) -> None:
    work = open_desk()
    values = work.record(*_many(0, 1, score=0.125), *_many(2, score=0.75, decision="review"))
    eventually(lambda: work.pairs == 3)
    kept = work.kept()
    assert [row.transaction_id for row in kept] == ["t-0", "t-1", "t-2"]
    assert {row.created_at for row in kept} == {values[0][COLUMNS.index("created_at")]}
    # All rows are alike, so there is one score.
    (score,) = {row.score for row in kept}
    assert (
        sum(
            work.value("fraud_shadow_decisions_total", champion=champion, challenger=challenger, **BOTH) * times
            for champion, times in (("approve", 1), ("review", 10))
            for challenger in ("approve", "review", "block")
        )
        == 2 + 10
    )
    for side, total in (("champion", 2 * 0.125 + 0.75), ("challenger", 3 * score)):
        assert work.value("fraud_shadow_score_count", side=side, **BOTH) == 3
        assert work.value("fraud_shadow_score_sum", side=side, **BOTH) == pytest.approx(total)
    for product, total in (
        ("champion_squared", 2 * 0.125**2 + 0.75**2),
        ("challenger_squared", 3 * score**2),
        ("champion_challenger", score * (2 * 0.125 + 0.75)),
    ):
        assert work.value("fraud_shadow_score_products_total", product=product, **BOTH) == pytest.approx(total)
    assert work.value("fraud_shadow_score_difference_count", **BOTH) == 3
    assert work.value("fraud_shadow_score_difference_bucket", le="1.0", **BOTH) == 3
    assert work.value("fraud_shadow_score_difference_bucket", le="-1.0", **BOTH) == 0
    assert work.dropped() == {}


def test_scores_have_the_bounds_of_all_scores(open_desk: Open) -> None:
    work = open_desk()
    work.record(*_many(0))
    eventually(lambda: work.pairs == 1)
    bounds = {
        sample.labels["le"]
        for family in work.registry.collect()
        for sample in family.samples
        if sample.name == "fraud_shadow_score_bucket"
    }
    assert bounds == {*map(str, SCORES), "+Inf"}


def test_a_copy_that_is_sent_twice_gives_one_pair(open_desk: Open, peer: Peer) -> None:
    work = open_desk()
    values = work.record(*_many(0, 1))
    eventually(lambda: work.pairs == 2)
    # As after a kill between the commit and the note of it.
    work.desk.offer(values)
    eventually(lambda: (work.pairs, sum(peer.calls), work.desk.waiting) == (2, 4, 0))
    assert len(work.kept()) == 2
    assert work.dropped() == {}


def test_a_share_is_copied_the_same_however_often(open_desk: Open, peer: Peer) -> None:
    work = open_desk(shadow_share=0.25)
    values = work.record(*_many(*range(1000)))
    eventually(lambda: work.pairs > 0 and not work.desk.waiting)
    sent = sum(peer.calls)
    # Four standard deviations.
    assert abs(sent - 250) < 55
    eventually(lambda: work.pairs == sent)
    work.desk.offer(values)
    eventually(lambda: sum(peer.calls) == 2 * sent)
    assert work.pairs == sent
    # What is not drawn was not dropped.
    assert work.dropped() == {}


def test_only_what_a_champions_model_scored_is_copied(open_desk: Open, peer: Peer) -> None:
    work = open_desk()
    work.record(*_many(0), version="8", role="challenger")
    (by_rules,) = work.book.values(*_many(1))
    place = COLUMNS.index("raw_score")
    work.desk.offer([(*by_rules[:place], None, *by_rules[place + 1 :])])
    assert work.dropped() == {"unscored": 1}
    assert (work.pairs, peer.calls) == (0, [])


def test_a_block_that_is_reviewed_by_chance_counts_as_blocked(open_desk: Open) -> None:
    work = open_desk()
    row, answer = predicted("t-0", decision="review", score=0.9)
    row.block_review_share = 0.1
    work.record((row, answer))
    eventually(lambda: work.pairs == 1)
    assert (
        sum(
            work.value("fraud_shadow_decisions_total", champion="block", challenger=challenger, **BOTH)
            for challenger in ("approve", "review", "block")
        )
        == 1
    )


def test_what_finds_the_queue_full_is_dropped(open_desk: Open, peer: Peer) -> None:
    work = open_desk(shadow_queue_rows=100, shadow_batch_rows=10)
    peer.gate.clear()
    for start in range(0, 300, 30):
        work.record(*_many(*range(start, start + 30)))
    assert work.dropped() == {"queue": 200}
    peer.gate.set()
    eventually(lambda: work.pairs == 100)
    # There is room again.
    work.record(*_many(1000))
    eventually(lambda: work.pairs == 101)
    assert work.dropped() == {"queue": 200}


def test_while_the_database_is_down_pairs_wait(open_desk: Open, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    work = open_desk(shadow_queue_rows=5)
    work.record(*_many(0, 1, 2))

    def down() -> None:
        raise OperationalError("begin", None, Exception("gone"))

    with monkeypatch.context() as patch:
        patch.setattr(work.book.database, "begin", down)
        eventually(lambda: work.pairs == 0 and peer.calls and work.desk._unrecorded)
        # They take the room of others meanwhile.
        values = work.book.values(*_many(3, 4, 5))
        work.desk.offer(values)
        assert work.dropped() == {"queue": 1}
    eventually(lambda: work.pairs == 3)


def test_a_pair_whose_prediction_is_gone_is_dropped(open_desk: Open) -> None:
    work = open_desk()
    work.desk.offer(work.book.values(*_many(0)))
    eventually(lambda: work.pairs == 0 and work.dropped() == {"unrecorded": 1})


def test_the_end_waits_a_little_and_counts_the_rest(open_desk: Open, peer: Peer) -> None:
    work = open_desk()
    work.record(*_many(0))
    eventually(lambda: work.pairs == 1)
    assert not work.desk.drains()
    peer.gate.clear()
    work.record(*_many(1, 2))
    eventually(lambda: len(peer.calls) == 2)
    began = time.monotonic()
    while work.desk.drains():
        work.desk.settle()
        assert time.monotonic() - began < 60
    work.desk.close()
    assert work.dropped() == {"stopped": 2}


def test_records_of_an_earlier_version_have_what_they_lack(open_desk: Open) -> None:
    work = open_desk()
    values = work.book.values(*_many(0))
    assert completed([value[:-1] for value in values]) == values
    assert completed(values) == values
    assert completed([]) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": "challenger"}, "FRAUD_ROLE is challenger: only a champion"),
        ({"prediction_log": "flagged"}, "FRAUD_PREDICTION_LOG is flagged"),
        ({"prediction_log": "none"}, "FRAUD_PREDICTION_LOG is none"),
        ({"shadow_ca_file": "ca.pem"}, "FRAUD_SHADOW_URL is not grpcs://"),
        ({"shadow_url": "http://host:3000"}, "shadow_url"),
        ({"shadow_url": "grpc://user@host:3000"}, "shadow_url"),
        ({"shadow_share": 0}, "shadow_share"),
    ],
    ids=["challenger", "flagged", "none", "certificates", "HTTP", "user", "share"],
)
def test_settings_that_cannot_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScoringSettings(home=tmp_path, **{"shadow_url": "grpc://host:3001", **changes})
