"""Walks through the running dashboard in headless Chromium: score, label, batch.

Each leaves pictures in the folder of FRAUD_SCREENSHOTS, or in a temporary one.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dashboard.columns import REQUIRED
from k8s.cluster import connect
from k8s.rollout.state import create, load
from tests.dashboard.api_server import running_api_server
from tests.dashboard.conftest import LARGE, PATIENCE_SECONDS, Backend, until
from tests.dashboard.lively import Lively
from tests.dashboard.provider import running_provider
from tests.dashboard.rollouts_made import made_rollout
from tests.dashboard.running import running_dashboard
from tests.k8s.api import kubeconfig
from tests.ports import free_port

#: A merchant whose name is markup of every kind.
HOSTILE = '<img src=x onerror="document.title=1">**m** :red[x] $y$'

expect.set_options(timeout=PATIENCE_SECONDS * 1000)


@pytest.fixture(scope="session")
def address(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running dashboard over the service."""
    with running_dashboard(tmp_path_factory.mktemp("dashboard"), backend.url) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; without it these tests are left out, but fail in CI.

    For this module only: while Playwright is open, an event loop runs, and no other test could run its own.
    """
    path = shutil.which("chromium")
    if path is None:
        message = "Chromium is not installed: scripts/install_system_packages.sh test"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        # A container has neither the rights for Chromium's sandbox nor much shared memory.
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new window."""
    context = browser.new_context(viewport={"width": 1360, "height": 960}, accept_downloads=True)
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures go."""
    named = os.environ.get("FRAUD_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _settled(page: Page) -> None:
    """Wait until the page neither runs nor draws."""
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=stStatusWidget]') && !document.querySelector('[data-stale=true]')"
    )


def test_a_transaction_is_scored_recorded_and_labelled(
    page: Page, address: str, backend: Backend, pictures: Path
) -> None:
    backend.label_all()
    page.goto(f"{address}/score?analyst=ann")
    expect(page.get_by_text("merchant is 1,612 km away")).to_be_visible()
    page.get_by_label("Merchant", exact=True).fill(HOSTILE)
    page.get_by_label("Transaction id").fill("walk-1")
    page.get_by_label("Amount").first.fill(str(LARGE))
    page.get_by_label("Amount").first.press("Tab")
    page.get_by_text("Record it").click()
    page.get_by_role("button", name="Score").click()
    expect(page.get_by_text("recorded as walk-1", exact=False)).to_be_visible()
    _settled(page)
    page.screenshot(path=str(pictures / "score.png"))
    (kept,) = until(lambda: backend.kept(transaction_id="walk-1"))
    assert kept["merchant_id"] == HOSTILE

    page.get_by_role("link", name="Review queue").click()
    expect(page.get_by_text(HOSTILE).first).to_be_visible()  # as text, every sign of it
    assert page.title() != "1"
    assert page.locator("img[src=x]").count() == 0
    # The key works once its button is there.
    expect(page.get_by_role("button", name="Skip")).to_be_visible()
    _settled(page)
    page.screenshot(path=str(pictures / "review.png"))
    page.keyboard.press("f")
    expect(page.get_by_text("Nothing waits here.")).to_be_visible()
    label = backend.kept(transaction_id="walk-1")[0]["label"]
    assert (label["label"], label["analyst"]) == ("fraud", "ann")


def test_a_file_is_scored_over_a_reload(page: Page, address: str, pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "payments.csv"
    rows = [f"c{row % 7},m{row % 5},{3 * row}.5,2026-05-30T12:00:{row % 60:02d}+02:00,=1+{row}" for row in range(200)]
    rows[20] = rows[20].replace("c6,", ",", 1)
    rows[30] = "c1,m1,-4,2026-05-30T12:00:00+02:00,ok"
    file.write_text("\n".join(["card,shop,amt,time,note", *rows]) + "\n")
    page.goto(f"{address}/batch")
    page.locator("input[type=file]").set_input_files(file)
    score = page.get_by_role("button", name="Score the file")
    expect(score).to_be_disabled()  # "shop" is not known; what the file calls it has to be chosen
    page.get_by_label("merchant_id *").click()
    page.get_by_role("option", name="shop").click()
    expect(score).to_be_enabled()
    _settled(page)
    page.screenshot(path=str(pictures / "batch_columns.png"))
    score.click()
    page.wait_for_url("**job=*")
    page.reload()
    expect(page.get_by_role("tab", name="Errors (2)")).to_be_visible()
    _settled(page)
    page.screenshot(path=str(pictures / "batch.png"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Result as CSV").click()
    result = pd.read_csv(download.value.path())
    assert list(result.columns[:7]) == [*REQUIRED, "note", "score", "decision"]
    assert len(result) == 200
    assert result["error"].notna().sum() == 2
    # No spreadsheet takes it for a formula.
    assert result.loc[0, "note"] == "'=1+0"


def test_the_overview_looks_again_by_itself(page: Page, address: str, backend: Backend, pictures: Path) -> None:
    page.goto(address)
    expect(page.get_by_text("Everything works")).to_be_visible()
    backend.predict("seen-1")
    # Lines over time need three looks.
    expect(page.get_by_text("latency, ms")).to_be_visible()
    _settled(page)
    page.screenshot(path=str(pictures / "overview.png"))


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(page: Page, address: str, tmp_path: Path) -> None:
    file = tmp_path / "payments.csv"
    with file.open("wb") as written:
        written.truncate(2 * 1024**3)
    page.goto(f"{address}/batch")
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text(re.compile("File must be 200.* or smaller"))).to_be_visible()
    expect(page.get_by_role("button", name="Score the file")).to_have_count(0)
    # What to do with it stands beside.
    expect(page.get_by_text("Needs columns for")).to_be_visible()


def test_tables_offer_no_export_that_a_spreadsheet_would_execute(page: Page, address: str, backend: Backend) -> None:
    backend.predict("formula-1", customer_id="c-formula", merchant_id="=HYPERLINK(0)")
    page.goto(address)
    table = page.get_by_test_id("stDataFrame").first
    expect(table).to_be_visible()
    _settled(page)
    table.hover()
    expect(page.get_by_role("button", name="Fullscreen").first).to_be_attached()
    expect(page.get_by_role("button", name="Download as CSV")).to_have_count(0)


def test_drift_and_pairs_are_drawn(page: Page, lively: Lively, pictures: Path, tmp_path: Path) -> None:
    with running_dashboard(tmp_path, lively.url, FRAUD_DASHBOARD_PROMETHEUS_URL=lively.prometheus.url) as url:
        page.goto(f"{url}/drift")
        expect(page.get_by_text("Drifted:")).to_be_visible()
        # These payments are nothing like those of training.
        expect(page.get_by_text("nothing can be said of: amount")).to_be_visible()
        _settled(page)
        page.screenshot(path=str(pictures / "drift.png"))
        page.goto(f"{url}/rollout")
        expect(page.get_by_text("challenger minus champion")).to_be_visible()
        _settled(page)
        page.screenshot(path=str(pictures / "rollout.png"))


def test_a_rollback_is_confirmed_and_pressed_twice_is_one(
    page: Page, lively: Lively, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_api_server() as cluster:
        file = str(kubeconfig(tmp_path, cluster.url))
        monkeypatch.setenv("KUBECONFIG", file)
        create(connect(), "fraud-rollout", made_rollout(), None)
        # Looks again each second, which must not take the question away.
        settings = {"FRAUD_DASHBOARD_RELEASE": "fraud", "FRAUD_DASHBOARD_REFRESH_SECONDS": "1"}
        with running_dashboard(tmp_path, lively.url, KUBECONFIG=file, **settings) as url:
            page.goto(f"{url}/rollout?analyst=olga")
            expect(page.get_by_text("Verdicts over time")).to_be_visible()
            _settled(page)
            page.screenshot(path=str(pictures / "rollout_gates.png"))
            for again in (False, True):
                page.get_by_role("button", name="Roll back …").click()
                question = page.get_by_role("dialog")
                expect(question.get_by_role("button", name="Roll back")).to_be_disabled()
                reason = question.get_by_label("Reason")
                # For a moment the last question's can stand beside it.
                expect(reason).to_have_count(1)
                expect(reason).to_have_value("")
                reason.fill("blocks too much")
                reason.press("Tab")
                expect(question.get_by_role("button", name="Roll back")).to_be_enabled()
                page.wait_for_timeout(2500)
                question.get_by_role("button", name="Roll back").click()
                expect(page.get_by_text("once is enough" if again else "the controller does it")).to_be_visible()
            (command,) = load(connect(), "fraud").commands.values()
            assert (command.kind, command.by, command.why) == ("abort", "olga", "blocks too much")


def test_login_gives_name_and_pages_and_ends(page: Page, backend: Backend, tmp_path: Path) -> None:
    port = free_port()
    with running_provider(tmp_path / "secrets.toml", port) as provider:
        login = {"FRAUD_DASHBOARD_LOGIN": "true", "FRAUD_DASHBOARD_LOGIN_HOURS": "8"}
        options = ["--secrets.files", str(tmp_path / "secrets.toml")]
        with running_dashboard(tmp_path, backend.url, *options, port=port, **login) as url:
            page.goto(url)
            expect(page.get_by_text("Log in to go on.")).to_be_visible()
            expect(page.get_by_role("link", name="Review queue")).to_have_count(0)
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_text("ann@example.org")).to_be_visible()
            expect(page.get_by_role("link", name="Review queue")).to_be_visible()
            expect(page.get_by_role("link", name="Models")).to_have_count(0)
            page.get_by_role("button", name="Log out").click()
            expect(page.get_by_text("Log in to go on.")).to_be_visible()
            # One that was issued nine hours ago is over.
            provider.age_seconds = 9 * 3600
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_text("Your login has ended after 8 hours.")).to_be_visible()
            expect(page.get_by_role("link", name="Review queue")).to_have_count(0)
