from __future__ import annotations

from collections import Counter

import pytest

from bentos.core.buckets import BUCKETS, bucket


# Computed apart, by: printf %s ID | sha256sum | head -c 16, as a number, mod 100.
@pytest.mark.parametrize(
    ("customer_id", "expected"),
    [("c016", "40"), ("customer-1", "35"), ("Zoë", "48"), ("客户", "23"), ("", "52")],
)
def test_known_vectors(customer_id: str, expected: str) -> None:
    assert bucket(customer_id) == expected


def test_every_bucket_gets_its_share() -> None:
    counts = Counter(bucket(f"customer-{number}") for number in range(20_000))
    assert set(counts) == {f"{number:02d}" for number in range(BUCKETS)}
    assert max(counts.values()) < 2 * min(counts.values())
