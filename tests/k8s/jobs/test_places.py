"""Where data lies, and what a pod calls it."""

from __future__ import annotations

import pytest

from bentos.core.errors import ConfigError
from k8s.jobs.places import Places


def test_claims_become_paths_and_urls_stay() -> None:
    places = Places()
    assert places.path("claim://payments/2026/t.parquet") == "/data/payments/2026/t.parquet"
    assert places.path("claim://scores", written=True) == "/data/scores"
    assert places.path("s3://bank/t.parquet") == "s3://bank/t.parquet"
    assert places.arguments(
        ["--model", "claim://models/m.yaml", "--features=claim://payments/f.parquet", "--seed=3"]
    ) == [
        *("--model", "/data/models/m.yaml", "--features=/data/payments/f.parquet", "--seed=3"),
    ]
    assert places.writable == {"payments": False, "scores": True, "models": False}


def test_a_claim_that_is_read_and_written_is_writable() -> None:
    places = Places()
    for place, written in (("claim://days/in", False), ("claim://days/out", True), ("claim://days/in", False)):
        places.path(place, written=written)
    assert places.writable == {"days": True}


@pytest.mark.parametrize("place", ["t.parquet", "/srv/t.parquet", "file:///srv/t.parquet", "../t.parquet"])
def test_a_path_of_this_machine_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match="is a path of this machine, which the cluster's pods do not see"):
        Places().path(place)


@pytest.mark.parametrize(
    "place", ["claim://", "claim:///t.parquet", "claim://Payments/t", "claim://p/../../etc/passwd"]
)
def test_no_place_on_a_claim(place: str) -> None:
    with pytest.raises(ConfigError, match="is no place on a volume claim"):
        Places().path(place)
