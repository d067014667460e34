"""Seconds until the dashboard's first page shows its own content, from a fresh start, in headless Chromium.

Run with ``python -m tests.benchmarks.first_paint``. Each start is a new process over a running service; the first
visitor comes as soon as it answers, the second after the first, with a browser that has nothing of it in its cache.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, sync_playwright

from tests.dashboard.running import running_dashboard
from tests.fraud.artifacts import make_champion
from tests.fraud.server import environment, running_server

#: What stands on a page once it has begun, and once it has what the service answers.
_BEGUN: Final = "h1"
_FILLED: Final = {"": "text=Alert rate", "score": "text=Reviewed from", "drift": "text=Over time"}


def visit(browser: Browser, url: str, page: str) -> tuple[float, float]:
    """Seconds until a page's title stands there, and until its numbers do, for somebody who was never there."""
    context = browser.new_context(viewport={"width": 1360, "height": 960})
    context.set_default_timeout(60_000)
    window = context.new_page()
    started = time.perf_counter()
    window.goto(f"{url}/{page}", wait_until="commit")
    window.wait_for_selector(_BEGUN)
    begun = time.perf_counter() - started
    window.wait_for_selector(_FILLED[page])
    filled = time.perf_counter() - started
    context.close()
    return begun, filled


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5, help="of the dashboard (default %(default)s)")
    parser.add_argument("--page", choices=sorted(_FILLED), default="", help="its address; empty is the overview")
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        parser.exit(1, "Chromium is not installed: scripts/install_system_packages.sh test\n")
    ready: list[float] = []
    seen: dict[str, list[tuple[float, float]]] = {"first": [], "second": []}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = Path(folder)
        make_champion(home)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        # Chromium's own start is nobody's wait.
        browser.new_page().close()
        with running_server(environment(home), log=home / "server.log") as server:
            for _ in range(options.starts):
                started = time.perf_counter()
                with running_dashboard(home, server.url) as url:
                    ready.append(time.perf_counter() - started)
                    for who, found in seen.items():
                        found.append(visit(browser, url, options.page))
                        print(who, *(f"{value:.2f}" for value in found[-1]), flush=True)
        browser.close()
    print(f"{'answers after its start':28} median {statistics.median(ready):5.2f} s   most {max(ready):5.2f} s")
    for who, found in seen.items():
        for what, values in zip(("title", "numbers"), zip(*found, strict=True), strict=True):
            median = statistics.median(values)
            print(f"{who + ' visitor, ' + what:28} median {median:5.2f} s   most {max(values):5.2f} s")


if __name__ == "__main__":
    main()
