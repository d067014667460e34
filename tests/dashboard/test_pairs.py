"""Paired scores of a challenger in the shadow, from a real champion's metrics."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from dashboard.pairs import pairs_of
from dashboard.scrapes import read_scrape
from tests.dashboard.conftest import Backend, open_page, texts
from tests.dashboard.lively import PAYMENTS, Lively


def test_every_pair_is_told(lively: Lively) -> None:
    text = httpx.get(f"{lively.url}/metrics", trust_env=False, timeout=60).text
    (pairs,) = pairs_of(read_scrape(text, datetime.now(UTC)))
    assert (pairs.champion, pairs.challenger, pairs.count) == ("7", "8", PAYMENTS)
    assert pairs.decisions.to_numpy().sum() == PAYMENTS
    assert pairs.agreement == pytest.approx(pairs.decisions.to_numpy().trace() / PAYMENTS)
    assert 0 < pairs.agreement < 1
    assert pairs.differences["pairs"].sum() == PAYMENTS
    assert (pairs.differences["low"] < pairs.differences["high"]).all()
    shares = pairs.scores.groupby("side")["share"].sum()
    assert shares.to_dict() == pytest.approx({"champion": 1.0, "challenger": 1.0})
    assert pairs.dropped == {}
    champion = pairs.quality("champion")
    assert champion.frauds == sum(number % 97 > 70 for number in range(PAYMENTS))
    assert champion.recall is not None
    assert champion.caught <= min(champion.alerts, champion.frauds)
    assert pairs.labelled["pairs"].sum() == PAYMENTS


def test_the_page_shows_pairs_of_a_service_without_a_cluster(
    lively: Lively, dashboard_settings: pytest.MonkeyPatch
) -> None:
    dashboard_settings.setenv("FRAUD_DASHBOARD_SERVICE_URL", lively.url)
    test = open_page("rollout")
    assert not test.error, texts(test.error)
    numbers = {metric.label: metric.value for metric in test.metric}
    assert numbers["Pairs"] == f"{PAYMENTS:,}"
    assert numbers["Copies dropped"] == "0"
    assert "challenger version 8" in texts(test.caption)
    overview = open_page("overview")
    (models,) = [frame.value for frame in overview.dataframe if "alert rate" in frame.value.columns]
    assert models["role"].tolist() == ["champion", "challenger in the shadow"]
    assert models["version"].tolist() == ["7", "8"]


def test_without_a_shadow_the_page_says_what_it_needs(backend: Backend, dashboard_settings: pytest.MonkeyPatch) -> None:
    dashboard_settings.setenv("FRAUD_DASHBOARD_SERVICE_URL", backend.url)
    test = open_page("rollout")
    assert "FRAUD_SHADOW_URL" in texts(test.info)
    assert not test.metric
