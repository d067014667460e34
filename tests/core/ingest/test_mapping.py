"""Mapping files: what they may say, and what places and times become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.core.errors import DataError
from bentos.core.features.clock import EARTH_RADIUS_KM, great_circle_km
from bentos.core.ingest.findings import Findings
from bentos.core.ingest.grid import _EARTH_RADIUS_KM, grid_to_degrees
from bentos.core.ingest.mapping import GridMapping, TimeMapping, load_mapping, shipped_mappings
from bentos.core.ingest.times import parse_times
from tests.core.ingest.sources import FIELDS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colums": {}}, "colums: Extra inputs"),
        ({"columns": {"customer_id": "customer"}}, "columns must name the source of merchant_id, amount"),
        ({"columns": {**FIELDS["columns"], "colour": "x"}}, "columns.colour"),
        ({"timestamp": {"column": "when", "kind": "local"}}, "times without an offset need `timezone`"),
        ({"timestamp": {"column": "when", "kind": "local", "timezone": "Mars/Base"}}, "'Mars/Base' is no IANA"),
        ({"timestamp": {"column": "when", "kind": "elapsed"}}, "`start` belongs to kind: elapsed"),
        ({"timestamp": {"column": "when", "kind": "offset", "pattern": "%Y"}}, "`pattern` belongs to kind: local"),
        ({"label": {"column": "f", "fraud": ["1"], "legitimate": ["1"]}}, "mean both fraud and legitimate"),
        ({"encoding": "klingon"}, "'klingon' is no text encoding"),
        ({"ignore": ["price"]}, "both mapped and ignored: price"),
    ],
)
def test_a_wrong_mapping_names_the_field(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump({**FIELDS, **changes}))
    with pytest.raises(DataError) as caught:
        load_mapping(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "no valid YAML"), ("- 1", "holds list"), ("", "holds NoneType")]
)
def test_what_is_no_mapping_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        load_mapping(path)


def test_an_unknown_mapping_tells_which_ship() -> None:
    with pytest.raises(DataError, match=r"'visa' cannot be read.*those that ship: fdh"):
        load_mapping("visa")
    assert shipped_mappings() == ("fdh",)


def _times(cells: list[Any], **how: Any) -> tuple[list[str], list[int], list[tuple[int, str]]]:
    found = Findings()
    column = pa.chunked_array([pa.array(cells)])
    time, offset = parse_times(column, TimeMapping(column="when", **how), "timestamp", found)
    frame = found.frame()
    return (
        [str(item) for item in time.astype("datetime64[us]")],
        offset.tolist(),
        list(zip(frame["row"], frame["reason"], strict=True)),
    )


def test_times_with_an_offset_keep_it() -> None:
    times, offsets, wrong = _times(["2026-01-31T12:00:00+01:00", "2026-01-31 12:00:00.5Z"], kind="offset")
    assert times == ["2026-01-31T11:00:00.000000", "2026-01-31T12:00:00.500000"]
    assert (offsets, wrong) == ([3600, 0], [])


def test_a_stated_zone_is_the_clock_of_instants() -> None:
    _, offsets, _ = _times(["2026-01-31T12:00:00Z", "2026-07-31T12:00:00Z"], kind="offset", timezone="Europe/Berlin")
    assert offsets == [3600, 7200]


def test_a_naive_time_needs_a_zone() -> None:
    times, _, wrong = _times(["2026-01-31T12:00:00", "soon", ""], kind="offset")
    assert times == ["NaT"] * 3
    assert [row for row, _ in wrong] == [0, 1, 2]
    assert "has no offset from UTC; such times need kind: local" in wrong[0][1]
    assert "no RFC 3339" in wrong[1][1]
    assert wrong[2][1] == "is empty or no time"


def test_local_times_are_refused_where_the_clock_changes() -> None:
    cells = [
        "2026-03-29T01:59:59",
        "2026-03-29T02:30:00",
        "2026-03-29T03:00",
        "2026-10-25 02:30:00",
        "2026-10-25T03:00",
    ]
    times, offsets, wrong = _times(cells, kind="local", timezone="Europe/Berlin")
    assert times[0] == "2026-03-29T00:59:59.000000"
    assert times[2] == "2026-03-29T01:00:00.000000"
    assert offsets == [3600, 0, 7200, 0, 3600]
    assert [row for row, _ in wrong] == [1, 3]
    assert "skips" in wrong[0][1]
    assert "shows twice" in wrong[1][1]


def test_local_times_have_no_offset_and_their_form() -> None:
    _, _, wrong = _times(["2026-01-31T12:00:00Z", "31/01/2026"], kind="local", timezone="UTC")
    assert ["has an offset" in wrong[0][1], "is not an ISO 8601 time" in wrong[1][1]] == [True, True]
    times, _, wrong = _times(["31/01/2026 07:00", "2026-01-31"], kind="local", timezone="UTC", pattern="%d/%m/%Y %H:%M")
    assert times[0] == "2026-01-31T07:00:00.000000"
    assert [row for row, _ in wrong] == [1]


@pytest.mark.parametrize(("unit", "scale"), [("seconds", 1), ("milliseconds", 1_000)])
def test_times_are_counted_from_a_start(unit: str, scale: int) -> None:
    cells: list[Any] = [0, 90 * scale, -1 * scale]
    start = "2018-04-01T00:00:00+02:00"
    times, offsets, wrong = _times(cells, kind="elapsed", start=start, unit=unit)
    assert times[1:] == ["2018-03-31T22:01:30.000000", "2018-03-31T21:59:59.000000"]
    assert (offsets, wrong) == ([7200] * 3, [])
    _, _, wrong = _times(["x", "1e300", "inf", None], kind="elapsed", start=start)
    assert [row for row, _ in wrong] == [0, 1, 2, 3]


def test_parquet_timestamps_say_what_they_are() -> None:
    naive = pa.array([0], pa.timestamp("ns"))
    with pytest.raises(DataError, match="times without a zone; state their zone"):
        _times(naive, kind="offset")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="use kind: offset"):
        _times(naive.cast(pa.timestamp("ns", "UTC")), kind="local", timezone="UTC")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="numbers that count from a start need kind: elapsed"):
        _times([1, 2], kind="offset")
    _, offsets, _ = _times(naive.cast(pa.timestamp("ns", "Europe/Berlin")), kind="offset")  # type: ignore[arg-type]
    assert offsets == [3600]


_PLACES = st.floats(0, 100)


@settings(max_examples=200, deadline=None)
@given(st.tuples(_PLACES, _PLACES, _PLACES, _PLACES), st.floats(-75, 75), st.sampled_from([0.01, 1.0, 5.0]))
def test_great_circles_equal_the_grid(places: tuple[float, ...], latitude: float, scale: float) -> None:
    grid = GridMapping(
        kilometres_per_unit=scale, origin_latitude=latitude, origin_longitude=179.5, origin_x=50, origin_y=50
    )
    x, y = np.array(places[:2]), np.array(places[2:])
    latitudes, longitudes = grid_to_degrees(grid, x, y)
    assert (np.abs(longitudes) <= 180).all()
    distance = great_circle_km(latitudes[:1], longitudes[:1], latitudes[1:], longitudes[1:])[0]
    flat = float(np.hypot(x[1] - x[0], y[1] - y[0])) * scale
    assert distance == pytest.approx(flat, rel=0.005, abs=1e-4)


def test_the_earth_is_one_size() -> None:
    assert _EARTH_RADIUS_KM == EARTH_RADIUS_KM
    middle = GridMapping(kilometres_per_unit=1, origin_latitude=50.85, origin_longitude=4.35, origin_x=50, origin_y=50)
    latitude, longitude = grid_to_degrees(middle, np.array([50.0, np.nan]), np.array([50.0, 1.0]))
    assert (latitude[0], longitude[0]) == pytest.approx((50.85, 4.35))
    assert np.isnan([latitude[1], longitude[1]]).all()
