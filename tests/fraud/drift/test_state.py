"""Drift as one answer, from counts of several workers and over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest

from bentos.core.answers import ModelVersion
from bentos.core.artifact import write_artifact
from bentos.core.drift import MERCHANT_CATEGORY, DriftState
from bentos.core.features.definitions import FEATURE_NAMES
from bentos.fraud.drift.counts import SLICE_SECONDS, DriftCounts
from bentos.fraud.drift.drift import look
from bentos.fraud.drift.layout import Layout
from bentos.fraud.drift.state import drift_state
from tests.fraud.artifacts import CARD, forest_contents
from tests.fraud.drift.clock import Clock
from tests.fraud.drift.test_drift import AMOUNT, distributions_of, random_rows
from tests.fraud.server import environment, running_server
from tests.waiting import eventually

MODEL = ModelVersion(name="m", version="1")


@pytest.fixture(scope="module")
def layout() -> Layout:
    return Layout(distributions_of(*random_rows(20_000)))


def test_it_tells_what_the_metrics_tell_and_the_counts_behind_it(layout: Layout, tmp_path: Path) -> None:
    clock = Clock()
    one, other = DriftCounts(layout, tmp_path, clock), DriftCounts(layout, tmp_path, clock)
    rows, scores = random_rows(3000, seed=1)
    rows[:, AMOUNT] *= 1.5
    one.count_values(rows[:2000], scores[:2000])
    other.count_values(rows[2000:], scores[2000:])
    state = drift_state(one, MODEL, 2000)
    assert [part.name for part in state.parts] == ["score", *FEATURE_NAMES]
    assert state.rows == {"hour": 3000, "day": 3000, "week": 3000}
    expected = {(drift.name, drift.window): drift for drift in look(one, 2000)}
    for part in state.parts:
        assert sum(part.training) == 20_000
        assert len(part.training) == len(part.edges) + 1
        for window, seen in part.windows.items():
            assert sum(seen.counts) == 3000
            drift = expected.get((part.name, window))
            assert seen.psi == (drift.psi if drift else None)
    amount = next(part for part in state.parts if part.name == "amount").windows["day"]
    assert amount.psi is not None
    assert amount.psi > 0.05
    assert amount.counts == tuple(np.asarray(layout.reference("amount").count(rows[:, AMOUNT])))
    for counts in (one, other):
        counts.close()


def test_moments_join_slices_until_there_are_enough(layout: Layout) -> None:
    clock = Clock()
    begun = datetime.fromtimestamp(clock(), UTC)
    counts = DriftCounts(layout, None, clock)
    for count in (1500, 400, 0, 300, 2000, 100):
        counts.count_values(*random_rows(count, seed=count))
        clock.seconds += SLICE_SECONDS
    state = drift_state(counts, MODEL, 2000)
    assert [moment.rows for moment in state.moments] == [2200, 2000]
    step = timedelta(seconds=SLICE_SECONDS)
    assert [(moment.start, moment.end) for moment in state.moments] == [
        (begun, begun + 4 * step),
        (begun + 4 * step, begun + 5 * step),
    ]
    assert state.moments[0].psi["amount"] < 0.05
    # A part of the day says nothing about the clock.
    assert "is_night" not in state.moments[0].psi


def test_too_few_have_counts_and_no_index(layout: Layout) -> None:
    counts = DriftCounts(layout, None, Clock())
    counts.count_values(*random_rows(50))
    state = drift_state(counts, MODEL, 2000)
    assert state.rows["hour"] == 50
    assert {part.windows["week"].psi for part in state.parts} == {None}
    assert state.moments == ()


def test_a_server_that_counts_nothing_says_so() -> None:
    state = drift_state(None, MODEL, 2000)
    assert not state.counted
    assert state.parts == ()


def test_an_artifact_without_categories_counts_none(layout: Layout) -> None:
    counts = DriftCounts(layout, None, Clock())
    rows, scores = random_rows(2000)
    counts.count_values(rows, scores, ["grocery"] * 2000)
    assert MERCHANT_CATEGORY not in {part.name for part in drift_state(counts, MODEL, 2000).parts}


def test_categories_stand_beside_training_at_the_same_hours() -> None:
    rows, scores = random_rows(20_000)
    hours = np.arange(20_000) % 24
    rows[:, FEATURE_NAMES.index("hour")] = hours
    known = np.where(hours < 12, "bars", "shops").tolist()
    counts = DriftCounts(Layout(distributions_of(rows, scores, known)), None, Clock())
    morning = hours < 12
    counts.count_values(rows[morning], scores[morning], ["bars"] * int(morning.sum()))
    part = drift_state(counts, MODEL, 2000).parts[-1]
    assert (part.name, part.edges, part.categories) == (MERCHANT_CATEGORY, (), ("bars", "shops"))
    seen = part.windows["hour"]
    assert (sum(part.training), seen.counts, seen.unseen) == (20_000, (int(morning.sum()), 0, 0), 0)
    assert seen.expected is not None
    assert seen.expected[0] > 0.99 * 20_000
    assert seen.psi is not None
    assert seen.psi < part.limit < 0.1


def test_over_http_it_is_what_was_recorded(tmp_path: Path) -> None:
    rows, scores = random_rows(4000)
    distributions = distributions_of(rows, scores, ["unknown"] * 3000 + ["fuel"] * 1000)
    write_artifact(tmp_path / "champion" / "artifact", forest_contents(distributions=distributions), private_key=None)
    payment = {"customer_id": "c1", "merchant_id": "m1", "amount": 10, "timestamp": "2026-05-30T12:00:00Z"}
    with (
        running_server(environment(tmp_path, FRAUD_DRIFT_MINIMUM_ROWS="50"), log=tmp_path / "log") as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=60) as http,
    ):
        answer = http.post(
            "/predict_many", json={"transactions": [payment] * 45 + [payment | {"merchant_category": "trains"}] * 15}
        )
        assert answer.status_code == 200, answer.text
        http.post("/predict_many", json={"transactions": [payment] * 60}, params={"record": "false"})

        def state_of() -> DriftState:
            answer = http.get("/drift")
            assert answer.status_code == 200, answer.text
            return DriftState.model_validate(answer.json())

        # Counted a moment after the answer.
        state = eventually(lambda: found if (found := state_of()).rows["hour"] else None)
        assert http.get("/drift", params={"days": "3"}).status_code == 422
        metrics = http.get("/metrics").text
    assert (state.model.name, state.model.version) == (CARD.name, CARD.version)
    assert state.rows["hour"] == 60
    amount = next(part for part in state.parts if part.name == "amount")
    assert max(amount.windows["hour"].counts) == 60
    assert amount.windows["hour"].psi is not None
    assert amount.windows["hour"].psi > amount.limit
    category = state.parts[-1]
    assert (category.categories, category.windows["hour"].counts) == (("unknown", "fuel"), (45, 0, 15))
    assert (category.windows["hour"].missing, category.windows["hour"].unseen) == (0.75, 0.25)
    assert f'fraud_feature_unseen_ratio{{feature="{MERCHANT_CATEGORY}",model_name="fraud_detector"' in metrics
