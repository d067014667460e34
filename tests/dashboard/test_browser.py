"""Walks through the running dashboard in headless Chromium: score, label, batch.

Each leaves pictures in the folder of FRAUD_SCREENSHOTS, or in a temporary one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dashboard.columns import REQUIRED
from tests.dashboard.conftest import APP, LARGE, PATIENCE_SECONDS, Backend, until
from tests.fraud.server import ROOT, environment
from tests.ports import free_port

#: A merchant whose name is markup of every kind.
HOSTILE = '<img src=x onerror="document.title=1">**m** :red[x] $y$'

expect.set_options(timeout=PATIENCE_SECONDS * 1000)


@pytest.fixture(scope="session")
def address(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running dashboard over the service."""
    home = tmp_path_factory.mktemp("dashboard")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environ = environment(home, FRAUD_DASHBOARD_SERVICE_URL=backend.url, FRAUD_DASHBOARD_TIMEOUT_SECONDS="30")
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(port)]
    with (home / "streamlit.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log, start_new_session=True)
        try:
            until(lambda: process.poll() is not None or _answers(url))
            assert process.poll() is None, (home / "streamlit.log").read_text()
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_stcore/health", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


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
