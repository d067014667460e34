"""docs/scaling.md says what the measurements and the arithmetic say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import scaling
from tests.benchmarks.scaling import ASSUMED, FIGURES, PAGE, Figure, measured, needs, tables
from tests.benchmarks.sizes import in_redis

ROUND = {
    "cpu": 100.0,
    "cpu_reasons": 200.0,
    "memory": 400.0,
    "script": 200.0,
    "log": 20_000.0,
    "batch": 100_000.0,
    "request": 400.0,
    "answer": 600.0,
    "customer": 1000.0,
    "merchant": 100_000.0,
    "to_redis": 500.0,
    "from_redis": 500.0,
    "row": 500.0,
}


def test_the_page_is_current() -> None:
    assert tables() in PAGE.read_text(), "run python -m tests.benchmarks.scaling --write"


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_stands_on_its_page(name: str) -> None:
    assert FIGURES[name].read() > 0


def test_a_figure_that_is_gone_is_missed() -> None:
    with pytest.raises(ValueError, match="0 times"):
        Figure("something", "docs/load.md", r"nowhere to be found: (\d+)").read()


def test_the_arithmetic() -> None:
    assert set(ROUND) == set(measured())
    assert list(ASSUMED.values()) == [0.5, 3.0, 1.0, 100.0, 32.0, 400.0]
    need = needs(15_000, ROUND)
    # 15,000 × 100 µs are 1.5 cores, of which half is to be used.
    assert need.cores == pytest.approx(3.0)
    assert need.memory_gb == pytest.approx(1.2)
    assert need.redis_by_thread == 6
    assert need.client_megabits == pytest.approx(120)
    assert need.redis_megabits == pytest.approx(120)
    assert need.writers == pytest.approx(0.75)
    # A mean of 5,000/s is 432 million a day, of as many customers and of 4.32 million merchants with 3,700 events each.
    assert need.redis_gb == pytest.approx(432 + 432 * 3700 / 4096)
    assert need.redis_by_memory == 26
    assert need.day_gb == pytest.approx(216)
    assert need.kept_tb == pytest.approx(86.4)
    assert need.batch_core_hours == pytest.approx(2.4)


def test_it_is_written_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "scaling.md"
    page.write_text(PAGE.read_text().replace(tables(), "old\n"))
    monkeypatch.setattr(scaling, "PAGE", page)
    scaling.main(["--write"])
    assert page.read_text() == PAGE.read_text()
    scaling.main([])
    assert capsys.readouterr().out == tables()


def test_a_customer_weighs_in_redis_what_the_page_says() -> None:
    size, sent, received = in_redis(30, 24.0)
    found = measured()
    # Versions of Redis leave more or less room at the end of a string.
    assert size == pytest.approx(found["customer"], rel=0.5)
    assert (sent, received) == pytest.approx((found["to_redis"], found["from_redis"]), rel=0.2)
