"""Drift as the page computes and shows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import pytest

from bentos.core.answers import ModelVersion
from bentos.core.drift import DriftMoment, DriftPart, DriftState, PartInWindow
from bentos.core.features import FEATURE_NAMES
from bentos.core.records import KeptPrediction
from dashboard.drift import distributions, drifted, from_moments, from_prometheus, moved_the_score, table
from dashboard.drift_charts import effects, side_by_side
from dashboard.traffic import from_prometheus as traffic_from_prometheus
from tests.dashboard.conftest import open_page, texts
from tests.dashboard.lively import PAYMENTS, Lively
from tests.ports import free_port
from tests.waiting import eventually

MODEL = ModelVersion(name="m", version="1")
NOON = datetime(2026, 5, 30, 12, tzinfo=UTC)


def _part(name: str, training: tuple[int, int], now: tuple[int, int], psi: float | None, limit: float) -> DriftPart:
    window = PartInWindow(counts=now, psi=psi, missing=None)
    return DriftPart(
        name=name,
        edges=(10.0,),
        training=training,
        limit=limit,
        windows={"hour": window, "day": window, "week": window},
    )


STATE = DriftState(
    model=MODEL,
    counted=True,
    minimum_rows=50,
    rows={"hour": 100, "day": 100, "week": 100},
    parts=(
        _part("score", (50, 50), (50, 50), 0.0, 0.05),
        _part("amount", (80, 20), (40, 60), 0.7, 0.35),
        _part("distance_km", (50, 50), (40, 60), 0.04, 0.01),
        _part("hour", (50, 50), (50, 50), None, 0.05),
    ),
    moments=(DriftMoment(start=NOON, end=NOON + timedelta(minutes=10), rows=100, psi={"score": 0.1, "amount": 0.7}),),
)


def _kept(amount: float, distance: float, score: float, version: str = "1") -> KeptPrediction:
    return KeptPrediction(
        transaction_id="t",
        customer_id="c",
        merchant_id="m",
        merchant_category="x",
        amount=amount,
        timestamp=NOON,
        score=score,
        raw_score=score,
        decision="approve",
        model=ModelVersion(name="m", version=version),
        role="champion",
        degraded=(),
        reasons=None,
        features={"amount": amount, "distance_km": distance, "hour": 12.0},
        label=None,
        claim=None,
        created_at=NOON,
    )


def test_the_farthest_beyond_its_limit_comes_first() -> None:
    assert table(STATE, "hour")["feature"].tolist() == ["distance_km", "amount", "score", "hour"]
    assert [part.name for part in drifted(STATE, "hour")] == ["distance_km", "amount"]


def test_distributions_are_shares_of_each_side() -> None:
    frame = distributions(STATE.parts[1], "day")
    assert frame[["of", "bin", "share"]].to_numpy().tolist() == [
        ["training", "≤ 10", 0.8],
        ["training", "> 10", 0.2],
        ["now", "≤ 10", 0.4],
        ["now", "> 10", 0.6],
    ]


def test_moments_are_multiples_of_limits() -> None:
    frame = from_moments(STATE)
    assert frame["time"].tolist() == [NOON + timedelta(minutes=10)]
    assert frame["score"].tolist() == pytest.approx([2.0])
    assert frame["amount"].tolist() == pytest.approx([2.0])


def test_what_moved_the_score_is_what_it_depends_on() -> None:
    # The score is 0.5 over an amount of 10 and 0.1 below; 60 of 100 lie over it, 20 of 100 did in training. Distance
    # has drifted as well, and the score does not know it.
    rng = np.random.default_rng(0)
    large = np.arange(1000) < 600
    kept = [
        _kept(20.0 if one else 5.0, 20.0 if far else 5.0, 0.5 if one else 0.1)
        for one, far in zip(large, rng.permutation(large), strict=True)
    ]
    frame = moved_the_score(STATE, [*kept, _kept(1.0, 1.0, 0.9, version="other")])
    bars, spans = effects(frame).to_dict()["layer"]
    assert (bars["mark"]["type"], spans["mark"]["type"]) == ("bar", "rule")
    found = frame.set_index("feature")["effect"]
    assert found.index[0] == "amount"
    assert found["amount"] == pytest.approx((0.6 - 0.2) * 0.4)
    assert abs(found["distance_km"]) < 0.01
    # All at one hour is no drift of the hour.
    assert "hour" not in found.index
    assert moved_the_score(STATE, []).empty


def test_a_few_predictions_do_not_stand_for_many() -> None:
    # Four fifths of training had small amounts, of which five predictions are left.
    kept = [_kept(5.0, 5.0, 0.9)] * 5 + [_kept(20.0, 20.0, 0.1)] * 995
    found = moved_the_score(STATE, kept).set_index("feature")["effect"]
    assert np.isnan(found["amount"])
    assert found.index[-1] == "amount"


def test_the_clock_is_weighed_when_enough_of_it_is_covered() -> None:
    kept = [_kept(5.0, 5.0, 0.1)] * 100
    later = [item.model_copy(update={"timestamp": NOON + timedelta(hours=25)}) for item in kept]
    assert "hour" in moved_the_score(STATE, [*kept, *later])["feature"].tolist()


def _categories(now: tuple[int, int, int], expected: tuple[float, float, float]) -> DriftPart:
    window = PartInWindow(counts=now, psi=0.4, missing=0.0, unseen=now[2] / 100, expected=expected)
    return DriftPart(
        name="merchant_category",
        edges=(),
        categories=("fuel", "<b>bars</b>"),
        training=(80, 20, 0),
        limit=0.1,
        windows={"hour": window, "day": window, "week": window},
    )


def test_categories_are_shown_beside_training_at_the_same_hours() -> None:
    part = _categories((50, 40, 10), (60.0, 40.0, 0.0))
    frame = distributions(part, "hour")
    assert frame["bin"].tolist() == ["fuel", "<b>bars</b>", "all others"] * 2
    assert frame["share"].tolist() == pytest.approx([0.6, 0.4, 0, 0.5, 0.4, 0.1])
    shown = table(STATE.model_copy(update={"parts": (part,)}), "hour")
    assert shown.loc[0, ["feature", "of limit", "missing"]].tolist() == ["merchant_category", 4.0, 0.0]
    axis = side_by_side(frame, "merchant_category").to_dict()["encoding"]["x"]["axis"]
    assert axis["labelExpr"] == "datum.label"


def test_a_category_moves_the_score_when_a_day_is_covered() -> None:
    state = STATE.model_copy(update={"parts": (_categories((50, 50, 0), (80.0, 20.0, 0.0)),)})
    kept = [_kept(5.0, 5.0, 0.1).model_copy(update={"merchant_category": "fuel"})] * 50
    kept += [_kept(5.0, 5.0, 0.5).model_copy(update={"merchant_category": "<b>bars</b>"})] * 50
    assert moved_the_score(state, kept).empty
    kept[0] = kept[0].model_copy(update={"timestamp": NOON + timedelta(hours=25)})
    found = moved_the_score(state, kept).set_index("feature").loc["merchant_category"]
    # A half instead of a fifth has the higher score.
    assert found["effect"] == pytest.approx(0.3 * 0.4)


def test_chance_alone_stays_within_two_standard_errors() -> None:
    rng = np.random.default_rng(3)
    outside = 0
    for _ in range(200):
        far, scores = rng.random(400) < 0.6, rng.beta(1, 9, 400)
        kept = [_kept(5.0, 20.0 if one else 5.0, float(score)) for one, score in zip(far, scores, strict=True)]
        found = moved_the_score(STATE, kept).set_index("feature").loc["distance_km"]
        outside += abs(found["effect"]) > 2 * found["error"]
    assert 1 <= outside <= 20


def test_prometheus_tells_the_indices_of_the_service(lively: Lively) -> None:
    state = DriftState.model_validate(httpx.get(f"{lively.url}/drift", trust_env=False, timeout=60).json())
    frame = from_prometheus(lively.prometheus.url, 30, state, "hour")
    amount = next(part for part in state.parts if part.name == "amount")
    psi = amount.windows["hour"].psi
    assert psi is not None
    assert frame["amount"].dropna().iloc[-1] == pytest.approx(psi / amount.limit)
    assert frame["score"].notna().any()
    assert set(frame.columns) == {"time", "score", *FEATURE_NAMES}
    # The overview asks the same server. A rate needs two scrapes.
    eventually(lambda: traffic_from_prometheus(lively.prometheus.url, 30, minutes=5)["approve"].notna().any())


def test_the_page_names_what_has_drifted(lively: Lively, dashboard_settings: pytest.MonkeyPatch) -> None:
    dashboard_settings.setenv("FRAUD_DASHBOARD_SERVICE_URL", lively.url)
    test = open_page("drift")
    assert not test.error, texts(test.error)
    said = texts(test.warning).replace("\\", "")
    assert "Drifted:" in said
    assert "amount (" in said
    assert f"{PAYMENTS} payments" in said
    assert "FRAUD_DASHBOARD_PROMETHEUS_URL" in texts(test.caption)
    (frame,) = [one.value for one in test.dataframe if "psi" in one.value.columns]
    assert set(frame["feature"]) == {"score", *FEATURE_NAMES}
    assert "newest 240 kept predictions" in texts(test.caption)
    test.selectbox(key="drift_feature").select("amount").run()
    test.segmented_control(key="drift_window").set_value("week").run()
    assert not test.exception

    dashboard_settings.setenv("FRAUD_DASHBOARD_PROMETHEUS_URL", lively.prometheus.url)
    test = open_page("drift")
    assert not test.error, texts(test.error)
    assert "From Prometheus" in texts(test.caption)


def test_a_prometheus_that_is_down_leaves_the_rest(lively: Lively, dashboard_settings: pytest.MonkeyPatch) -> None:
    dashboard_settings.setenv("FRAUD_DASHBOARD_SERVICE_URL", lively.url)
    dashboard_settings.setenv("FRAUD_DASHBOARD_PROMETHEUS_URL", f"http://127.0.0.1:{free_port()}")
    test = open_page("drift")
    assert "FRAUD_DASHBOARD_PROMETHEUS_URL" in texts(test.error).replace("\\", "")
    assert "Drifted:" in texts(test.warning)
