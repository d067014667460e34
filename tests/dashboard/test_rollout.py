"""The rollout page over what the controller keeps: shown, paused, promoted, rolled back once; or read-only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from bentos.core.errors import Conflict, Unavailable
from dashboard.gate_lanes import lanes
from dashboard.rollouts import Rollouts
from k8s.cluster import connect
from k8s.rollout.state import create, load, replace
from tests.dashboard.api_server import ApiServer, running_api_server
from tests.dashboard.conftest import Backend, open_page, texts
from tests.dashboard.rollouts_made import BEGAN, made_rollout
from tests.helm.charts import find, render
from tests.k8s.api import kubeconfig
from tests.ports import free_port


@pytest.fixture
def api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """A cluster with a rollout under way."""
    with running_api_server() as server:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, server.url)))
        create(connect(), "fraud-rollout", made_rollout(), None)
        yield server


@pytest.fixture
def rollouts(api_server: ApiServer) -> Iterator[Rollouts]:
    opened = Rollouts("fraud", None, 30)
    yield opened
    opened.close()


@pytest.fixture
def rollout_page(
    api_server: ApiServer, backend: Backend, dashboard_settings: pytest.MonkeyPatch
) -> Callable[[], AppTest]:
    dashboard_settings.setenv("FRAUD_DASHBOARD_SERVICE_URL", backend.url)
    dashboard_settings.setenv("FRAUD_DASHBOARD_RELEASE", "fraud")
    return lambda: open_page("rollout", analyst="olga")


def _commands() -> list[tuple[str, str, str]]:
    stored = load(connect(), "fraud")
    return [(command.kind, command.by, command.why) for command in stored.commands.values()]


def _buttons(test: AppTest) -> set[str]:
    return {str(button.key) for button in test.button if str(button.key).startswith("rollout_")}


def test_it_shows_where_the_rollout_is(rollout_page: Callable[[], AppTest]) -> None:
    test = rollout_page()
    assert not test.error, texts(test.error)
    numbers = {metric.label: metric.value for metric in test.metric}
    assert (numbers["Phase"], numbers["Stage"], numbers["Weight"]) == ("running", "canary", "5 %")
    assert numbers["Step"] == "3 of 6"
    assert "7 → 8" in texts(test.info)
    # Words of others are text.
    assert "<b>" not in texts(test.info)
    (gates,) = [frame.value for frame in test.dataframe if "verdict" in frame.value.columns]
    assert gates["verdict"].tolist() == ["✓ pass", "… inconclusive"]
    assert gates["measured"].tolist() == [1.0, 1.2]
    assert gates["to pass"].tolist() == pytest.approx([6.1 / 5.3, 0.4 / 5.3])
    assert "What was measured" in texts(test.markdown)
    assert _buttons(test) == {"rollout_pause", "rollout_promote", "rollout_abort"}


def test_each_gate_has_a_lane_with_its_numbers() -> None:
    found = lanes(made_rollout())
    assert list(found) == ["errors", "alerts"]
    band, line, points, rules = found["errors"].to_dict()["layer"]
    assert [one["mark"]["type"] for one in (band, line, points, rules)] == ["area", "line", "point", "rule"]
    assert found["errors"].to_dict()["title"]["text"] == "errors: pass"
    drawn = found["errors"].to_dict()["datasets"]
    (looks,) = [rows for rows in drawn.values() if "verdict" in rows[0]]
    # The first look measured nothing.
    assert [(row["verdict"], row["measured"], row["from"], row["to"]) for row in looks] == [
        ("inconclusive", 1.0, 0.35, 2.8),
        ("pass", 1.0, 0.7, 1.4),
    ]
    (bounds,) = [rows for rows in drawn.values() if "bound" in rows[0]]
    assert bounds == [{"bound": "tolerated", "value": 1.1}, {"bound": "margin", "value": 2.0}]
    low, high = points["encoding"]["y"]["scale"]["domain"]
    assert low < 1.0
    assert high > 2.0


def test_without_looks_there_are_no_lanes_and_without_a_verdict_no_bounds() -> None:
    assert lanes(made_rollout(looks=())) == {}
    alone = lanes(made_rollout(verdicts=()))["alerts"].to_dict()
    assert [one["mark"]["type"] for one in alone["layer"]] == ["area", "line", "point"]


def test_a_pause_is_asked_of_the_controller(rollout_page: Callable[[], AppTest], api_server: ApiServer) -> None:
    test = rollout_page()
    test.button(key="rollout_pause").click().run()
    assert _commands() == [("pause", "olga", "")]
    assert "olga has asked to pause" in texts(test.info)
    # What the controller makes of it, when a look is no longer remembered.
    st.cache_data.clear()
    stored = load(connect(), "fraud")
    replace(connect(), stored, made_rollout(phase="paused", paused_since=BEGAN), obeyed=tuple(stored.commands))
    assert _buttons(rollout_page()) == {"rollout_resume", "rollout_promote", "rollout_abort"}


def test_a_rollback_is_not_asked_without_a_reason(rollout_page: Callable[[], AppTest]) -> None:
    test = rollout_page()
    test.button(key="rollout_abort").click().run()
    assert test.button(key="rollout_go").disabled
    assert _commands() == []


def test_pressed_twice_it_is_one_rollback(rollouts: Rollouts) -> None:
    assert rollouts.ask("abort", "sunny-otter", "olga", "worse")
    assert not rollouts.ask("abort", "sunny-otter", "paul", "worse indeed")
    assert _commands() == [("abort", "olga", "worse")]
    # Done: whoever presses then is told, and nothing is asked.
    stored = load(connect(), "fraud")
    replace(connect(), stored, made_rollout(phase="aborted", ended=BEGAN), obeyed=tuple(stored.commands))
    with pytest.raises(Conflict, match="aborted"):
        rollouts.ask("abort", "sunny-otter", "paul", "still")
    with pytest.raises(Conflict, match="look at the page again"):
        rollouts.ask("promote", "rainy-owl", "paul", "an old page")
    assert _commands() == []


def test_the_charts_role_allows_what_the_page_does_and_no_more(rollouts: Rollouts, api_server: ApiServer) -> None:
    api_server.asked.clear()
    assert rollouts.look().writable
    assert rollouts.ask("pause", "sunny-otter", "olga", "")
    values = {"enabled": True, "apiServers": [{"cidr": "10.0.0.1/32", "port": 6443}]}
    rules = find(render({"dashboard": {"rollouts": values}}), "Role", "fraud-dashboard")["rules"]
    granted = {(verb, name) for rule in rules for verb in rule["verbs"] for name in rule.get("resourceNames", [""])}
    assert set(api_server.asked) == granted


def test_what_has_ended_has_no_buttons(rollout_page: Callable[[], AppTest]) -> None:
    replace(connect(), load(connect(), "fraud"), made_rollout(phase="rolled_back", ended=BEGAN, reason="errors: worse"))
    test = rollout_page()
    assert "errors: worse" in texts(test.warning).replace("\\", "")
    assert _buttons(test) == set()


def test_without_rights_it_is_read_only(
    rollout_page: Callable[[], AppTest], api_server: ApiServer, dashboard_settings: pytest.MonkeyPatch
) -> None:
    api_server.writable = False
    test = rollout_page()
    assert _buttons(test) == set()
    assert "may not change rollouts" in texts(test.caption)
    api_server.writable = True
    dashboard_settings.setenv("FRAUD_DASHBOARD_ROLES", "scientist")
    test = rollout_page()
    assert _buttons(test) == set()
    assert "need the role operator" in texts(test.caption)


def test_a_cluster_that_is_slow_does_not_hold_the_page(
    rollout_page: Callable[[], AppTest], api_server: ApiServer, dashboard_settings: pytest.MonkeyPatch
) -> None:
    api_server.seconds = 3
    with pytest.raises(Unavailable, match=r"within 0\.1 s"):
        Rollouts("fraud", None, 0.1).look()
    dashboard_settings.setenv("FRAUD_DASHBOARD_TIMEOUT_SECONDS", "0.5")
    test = rollout_page()
    assert "has not answered within 0.5 s" in texts(test.error).replace("\\", "")
    # The rest of the page is there.
    assert "FRAUD_SHADOW_URL" in texts(test.info)


def test_no_cluster_is_named(
    rollout_page: Callable[[], AppTest], tmp_path: Path, dashboard_settings: pytest.MonkeyPatch
) -> None:
    dashboard_settings.setenv("KUBECONFIG", str(kubeconfig(tmp_path, f"http://127.0.0.1:{free_port()}")))
    assert "does not answer" in texts(rollout_page().error)
    dashboard_settings.setenv("KUBECONFIG", str(tmp_path / "absent"))
    dashboard_settings.setenv("FRAUD_DASHBOARD_NAMESPACE", "other")
    assert "set KUBECONFIG" in texts(rollout_page().error).replace("\\", "")
