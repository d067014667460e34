"""A pipeline over a real model and store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos.core.artifact import read_artifact
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.fraud.bulk.pipeline import Pipeline
from bentos.fraud.scorer import Scorer
from bentos.fraud.settings import ScoringSettings
from bentos.fraud.store import EmbeddedStore


@pytest.fixture(scope="session")
def scorer(champion_home: Path) -> Scorer:
    return Scorer(read_artifact(champion_home / "champion" / "artifact", public_key=None))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """The real feature store, empty."""
    opened = EmbeddedStore(tmp_path / "real.store", Pseudonyms("secret"))
    yield opened
    opened.close()


@pytest.fixture
def pipeline(scorer: Scorer, store: EmbeddedStore, tmp_path: Path) -> Pipeline:
    """Chunks of 1,000 rows."""
    settings = ScoringSettings(home=tmp_path / "home", bulk_chunk_rows=1000, bulk_line_limit_bytes=4096)
    return Pipeline(scorer, store, Pseudonyms("secret"), settings)
