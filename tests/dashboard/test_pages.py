"""Every page against a real service, without a browser."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboard.conftest import LARGE, Backend, open_page, texts, until
from tests.ports import free_port
from tests.waiting import eventually

PAGES = ("overview", "score", "review", "batch", "models", "rollout", "drift")

OpenPage = Callable[..., AppTest]


def _metrics(test: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in test.metric}


def _button(test: AppTest, label: str) -> Any:
    (found,) = [button for button in test.button if button.label == label]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens(app: OpenPage, page: str) -> None:
    test = app(page, analyst="ann")
    assert not test.error, texts(test.error)


def test_the_first_example_is_scored_at_once_and_not_recorded(app: OpenPage, backend: Backend) -> None:
    before = len(backend.kept(customer_id="c016", limit="500"))
    test = app("score")
    assert 0 <= float(_metrics(test)["Score"]) <= 1
    assert "not recorded" in texts(test.caption)
    assert len(backend.kept(customer_id="c016", limit="500")) == before


def test_a_form_is_scored_and_recorded(app: OpenPage, backend: Backend) -> None:
    test = app("score")
    test.text_input(key="form_customer_id").input("c-form")
    test.text_input(key="form_transaction_id").input("form-1")
    test.number_input(key="form_amount").set_value(LARGE)
    test.toggle(key="form_record").set_value(True)
    _button(test, "Score").click().run()
    assert not test.exception
    (kept,) = until(lambda: backend.kept(transaction_id="form-1"))
    assert kept["amount"] == LARGE
    assert kept["customer_id"] == "c-form"
    assert float(_metrics(test)["Score"]) == pytest.approx(kept["score"], abs=5e-4)


def test_what_if_moves_the_score_as_the_service_does(app: OpenPage, backend: Backend) -> None:
    test = app("score")
    (amount,) = [slider for slider in test.slider if slider.label == "Amount"]
    amount.set_value(1.0).run()
    assert not test.exception
    moved = float(_metrics(test)["Score, moved"])
    payment = {
        "customer_id": "c016",
        "merchant_id": "m047",
        "merchant_category": "nightlife",
        "amount": 1.0,
        "timestamp": "2026-05-30T03:12:00+02:00",
        "customer_latitude": 52.53877,
        "customer_longitude": 11.92512,
        "merchant_latitude": 40.26457,
        "merchant_longitude": 23.22580,
    }
    answer = backend.http.post("/explain", json=payment).json()
    assert moved == pytest.approx(answer["score"], abs=5e-4)
    assert moved < float(_metrics(test)["Score"])


def test_wrong_input_is_named_by_its_field(app: OpenPage) -> None:
    test = app("score")
    test.text_input(key="form_customer_id").input("")
    test.number_input(key="form_customer_latitude").set_value(None)
    _button(test, "Score").click().run()
    assert "customer" in texts(test.error)
    assert "at least 1 character" in texts(test.error).replace("\\", "")


def test_a_label_of_the_queue_is_kept(app: OpenPage, backend: Backend) -> None:
    backend.label_all()
    backend.predict("queue-1", amount=3 * LARGE)
    backend.predict("queue-2", amount=LARGE, customer_id="c-other")
    test = app("review", analyst="ann")
    assert _metrics(test)["Waiting"] == "2"
    # The larger amount comes first.
    assert _metrics(test)["Amount"] == f"{3 * LARGE:,.2f}"
    assert backend.kept(transaction_id="queue-1")[0]["claim"]["analyst"] == "ann"
    test.button(key="label_fraud").click().run()
    assert not test.exception
    label = backend.kept(transaction_id="queue-1")[0]["label"]
    assert (label["label"], label["analyst"], label["source"]) == ("fraud", "ann", "review")
    assert _metrics(test)["Waiting"] == "1"
    assert _metrics(test)["Labelled by you"] == "1"
    assert _metrics(test)["Were fraud"] == "100 %"
    test.button(key="label_legitimate").click().run()
    assert "Nothing waits here." in texts(test.success)


def test_two_analysts_never_get_the_same_item(app: OpenPage, backend: Backend) -> None:
    backend.label_all()
    backend.predict("both-1", amount=3 * LARGE)
    backend.predict("both-2", amount=LARGE)
    ann, bob = app("review", analyst="ann"), app("review", analyst="bob")
    assert _metrics(ann)["Amount"] == f"{3 * LARGE:,.2f}"
    assert _metrics(bob)["Amount"] == f"{LARGE:,.2f}"


def test_a_second_opinion_counts_agreement(app: OpenPage, backend: Backend) -> None:
    backend.label_all()
    for name, amount in (("opinion-1", 3 * LARGE), ("opinion-2", LARGE)):
        backend.predict(name, amount=amount)
        label = {"transaction_id": name, "label": "fraud", "source": "review", "analyst": "carl"}
        assert backend.http.post("/feedback", json=label).status_code == 200
    test = app("review", analyst="dora")
    test.segmented_control(key="queue_kind").set_value("Second opinion").run()
    assert _metrics(test)["Waiting"] == "2"
    test.button(key="label_fraud").click().run()
    assert _metrics(test)["Agreement"] == "100 %"
    test.button(key="label_legitimate").click().run()
    assert _metrics(test)["Agreement"] == "50 %"
    assert backend.kept(transaction_id="opinion-2")[0]["label"]["label"] == "legitimate"


def test_without_a_name_nothing_is_claimed(app: OpenPage, backend: Backend) -> None:
    backend.label_all()
    backend.predict("nameless-1")
    test = app("review")
    assert "Write your name" in texts(test.info)
    assert backend.kept(transaction_id="nameless-1")[0]["claim"] is None


def test_the_overview_counts_what_the_service_counts(app: OpenPage, backend: Backend) -> None:
    backend.predict("counted-1")
    test = app("overview")
    assert "Everything works" in texts(test.success)
    numbers = _metrics(test)
    assert numbers["Errors"] == "0.00 %"
    assert numbers["Latency p99"].endswith("ms")
    (models,) = [frame.value for frame in test.dataframe if "alert rate" in frame.value.columns]
    assert models["role"].tolist() == ["champion"]
    assert models["version"].tolist() == ["7"]


def test_a_file_that_the_service_reads_itself_is_scored(app: OpenPage, backend: Backend) -> None:
    file = backend.home / "in" / "payments.csv"
    row = "c1,m1,12.5,2026-05-30T12:00:00+02:00\n"
    file.write_text("customer_id,merchant_id,amount,timestamp\n" + 30 * row)
    test = app("batch", analyst="ann")
    test.text_input(key="batch_uri").input("file:///etc/payments.csv").run()
    _button(test, "Score it there").click().run()
    assert "ask for FRAUD_JOB_SOURCES" in texts(test.error).replace("\\", "")
    assert "job" not in test.query_params
    test.text_input(key="batch_uri").input(file.as_uri()).run()
    _button(test, "Score it there").click().run()
    assert not test.error, texts(test.error)
    job_id = str(test.query_params["job"])

    def done() -> bool:
        return bool(backend.http.get(f"/job_status/{job_id}").json()["status"] == "completed")

    until(done)
    # A page does not wait for a service that is busy with other tests.
    again = eventually(lambda: found if "Rows" in (found := _metrics(app("batch", analyst="ann", job=job_id))) else {})
    assert again["Rows"] == "30"
    assert again["With errors"] == "0"


def test_models_say_what_they_need(app: OpenPage) -> None:
    test = app("models")
    assert "needs MLflow" in texts(test.info)


@pytest.mark.parametrize(
    ("roles", "allowed"),
    [
        ("analyst", {"overview", "score", "review", "batch"}),
        ("scientist", {"overview", "score", "batch", "models", "rollout", "drift"}),
        ("operator", {"overview", "models", "rollout", "drift"}),
    ],
)
def test_roles_decide_which_pages_there_are(
    app: OpenPage, dashboard_settings: pytest.MonkeyPatch, roles: str, allowed: set[str]
) -> None:
    dashboard_settings.setenv("FRAUD_DASHBOARD_ROLES", roles)
    test = app("overview", analyst="ann")
    for page in set(PAGES) - {"overview"}:
        if page in allowed:
            test.switch_page(f"views/{page}.py")
        else:
            with pytest.raises(ValueError, match="views"):
                test.switch_page(f"views/{page}.py")


def test_a_wrong_setting_is_named(app: OpenPage, dashboard_settings: pytest.MonkeyPatch) -> None:
    dashboard_settings.setenv("FRAUD_DASHBOARD_ROLES", "king")
    test = open_page("overview")
    assert "DASHBOARD_ROLES" in texts(test.error).replace("\\", "")


def test_others_are_not_let_in_without_login(app: OpenPage, dashboard_settings: pytest.MonkeyPatch) -> None:
    dashboard_settings.setenv("FRAUD_DASHBOARD_ALLOW_UNAUTHENTICATED", "false")
    test = open_page("overview")
    assert "other machines reach this dashboard" in texts(test.error)
    assert not test.metric


@pytest.mark.parametrize("page", PAGES)
def test_a_service_that_is_down_is_an_error_box(dashboard_settings: pytest.MonkeyPatch, page: str) -> None:
    dashboard_settings.setenv("FRAUD_DASHBOARD_SERVICE_URL", f"http://127.0.0.1:{free_port()}")
    parameters = {"job": "j-1"} if page == "batch" else {}
    test = open_page(page, analyst="ann", **parameters)
    if page == "models":  # needs MLflow alone
        assert not test.error
        return
    assert "The service does not answer" in texts(test.error)
    assert "FRAUD_DASHBOARD_SERVICE_URL" in texts(test.error)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers, as a server that hangs does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen(64)
        yield listener.getsockname()[1]


@pytest.mark.parametrize("page", ["overview", "score", "review", "rollout", "drift"])
def test_a_service_that_hangs_does_not_hold_a_page(
    dashboard_settings: pytest.MonkeyPatch, silent_port: int, page: str
) -> None:
    dashboard_settings.setenv("FRAUD_DASHBOARD_SERVICE_URL", f"http://127.0.0.1:{silent_port}")
    dashboard_settings.setenv("FRAUD_DASHBOARD_TIMEOUT_SECONDS", "0.2")
    test = open_page(page, analyst="ann")
    assert "does not answer" in texts(test.error)
