"""Documents lead somewhere: every relative link has a file and a heading, every page is in the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_ELSEWHERE = ("http://", "https://", "mailto:")


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(_ELSEWHERE):
            continue
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{name} leads to {link}, which is not there"
        if fragment and target.suffix == ".md":
            assert fragment in _anchors(target), f"{name} leads to {link}; {path} has no such heading"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [path.name for path in (ROOT / "docs").glob("*.md") if path.name != "README.md"]
    assert [page for page in pages if f"({page})" not in index and f"({page}#" not in index] == []


def test_pictures_are_small_enough_to_read_on_the_way() -> None:
    large = {path.name: size for path in (ROOT / "docs").rglob("*.png") if (size := path.stat().st_size) > 300_000}
    assert large == {}
