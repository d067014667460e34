"""The reference of categories: every category has a bin, and the clock is no drift."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from bentos.core.artifact import (
    Categories,
    Distributions,
    population_stability_index,
    read_artifact,
    reference_categories,
    write_artifact,
)
from bentos.core.artifact.categories import HOURS
from bentos.core.errors import DataError
from tests.core.artifact.contents import contents


def by_day_and_night(rows: int, seed: int, share_of_night: float = 0.25) -> tuple[list[str], np.ndarray]:
    """Bars at night, shops by day, and their hours."""
    rng = np.random.default_rng(seed)
    night = rng.random(rows) < share_of_night
    hours = np.where(night, rng.integers(0, 6, rows), rng.integers(6, 24, rows))
    bars = rng.random(rows) < np.where(night, 0.9, 0.1)
    return np.where(bars, "bars", "shops").tolist(), hours


def test_the_most_frequent_are_named_and_the_rest_shares_a_bin() -> None:
    categories = ["b", *["a"] * 3, *(f"rare {number:02}" for number in range(60))]
    known = reference_categories(categories, np.arange(64) % HOURS)
    assert known.names[:3] == ["a", "b", "rare 00"]
    assert len(known.names) == 50
    assert known.counts == [3, *[1] * 49, 12]
    assert known.usual is None


def test_at_the_hours_of_training_training_is_expected() -> None:
    categories, hours = by_day_and_night(20_000, 0)
    known = reference_categories(categories, hours)
    expected = known.expected(np.bincount(hours, minlength=HOURS))
    assert expected.sum() == pytest.approx(20_000)
    np.testing.assert_allclose(expected, known.counts, rtol=0.01)


def test_a_night_is_compared_with_nights() -> None:
    known = reference_categories(*by_day_and_night(20_000, 0))
    categories, hours = by_day_and_night(3000, 1, share_of_night=1.0)
    counts = np.array([categories.count(name) for name in known.names] + [0])
    fair = population_stability_index(known.expected(np.bincount(hours, minlength=HOURS)), counts)
    naive = population_stability_index(np.array(known.counts), counts)
    assert fair < 0.01
    assert naive > 1


def test_an_hour_that_training_did_not_have_is_taken_for_any() -> None:
    known = reference_categories(["a"] * 3 + ["b"], np.full(4, 12))
    np.testing.assert_allclose(known.expected(np.eye(HOURS)[3]), [3, 1, 0])


def test_what_is_usual_is_more_where_categories_come_and_go() -> None:
    steady, hours = by_day_and_night(40_000, 0)
    waves = ["season" if part % 2 else "else" for part in np.arange(40_000) // 2000]
    calm, restless = reference_categories(steady, hours).usual, reference_categories(waves, hours).usual
    assert calm is not None
    assert restless is not None
    assert calm < 0.01
    assert restless > 1
    # Parts of fewer rows than a service looks at would differ by chance.
    assert reference_categories(steady[:3999], hours[:3999]).usual is None


@pytest.mark.parametrize(("categories", "hours"), [([], []), (["a"], [1, 2]), (["a"], [24]), (["a"], [-1])], ids=str)
def test_unusable_rows_are_refused(categories: list[str], hours: list[int]) -> None:
    with pytest.raises(DataError, match="an hour from 0 to 23"):
        reference_categories(categories, np.array(hours))


@pytest.mark.parametrize(
    "fields",
    [
        {"names": ["a", "a"], "by_hour": [[1, 1, 0]] * HOURS},
        {"names": ["a"], "by_hour": [[1, 1, 0]] * HOURS},
        {"names": ["a"], "by_hour": [[1, 0]] * 23},
        {"names": ["a"], "by_hour": [[0, 0]] * HOURS},
        {"names": [], "by_hour": [[1]] * HOURS},
    ],
)
def test_documents_that_are_none(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Categories.model_validate(fields)


def test_an_artifact_keeps_it_and_one_without_is_read(tmp_path: Path) -> None:
    plain = contents()
    known = reference_categories(*by_day_and_night(5000, 0))
    write_artifact(tmp_path / "old", plain, private_key=None)
    assert read_artifact(tmp_path / "old", public_key=None).distributions.merchant_category is None
    distributions = Distributions(
        features=plain.distributions.features, score=plain.distributions.score, merchant_category=known
    )
    write_artifact(tmp_path / "new", contents(distributions=distributions), private_key=None)
    assert read_artifact(tmp_path / "new", public_key=None).distributions.merchant_category == known
