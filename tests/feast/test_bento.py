"""What a bento needs installed whose service keeps its features in Feast."""

from __future__ import annotations

from bentos.fraud.bento.requirements import serving_requirements
from tests.feast.repositories import NEEDS_FEAST
from tests.fraud.server import ROOT

pytestmark = NEEDS_FEAST


def test_it_has_feast_and_the_versions_that_feast_can_bear() -> None:
    pinned = dict(line.split("==") for line in serving_requirements(ROOT, feast=True))
    written = (ROOT / "constraints-feast.txt").read_text().lower().split()
    for name in ("feast", "pandas", "redis", "onnxruntime"):
        assert f"{name}=={pinned[name]}" in written
    assert pinned["pandas"] < "3"
    assert not any(line.startswith("feast==") for line in serving_requirements(ROOT))
