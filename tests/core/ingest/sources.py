"""Small sources of real data for tests, and their mapping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bentos.core.ingest.mapping import Mapping

HEADER = "id,customer,shop,kind,price,when,home_lat,home_lon,shop_lat,shop_lon,fraud"
GOOD = "t1,c1,m1,grocery,12.50,2026-01-31T12:00:00+01:00,52.5,13.4,52.6,13.5,no"
FIELDS: dict[str, Any] = {
    "description": "A shop's export.",
    "columns": {
        "transaction_id": "id",
        "customer_id": "customer",
        "merchant_id": "shop",
        "merchant_category": "kind",
        "amount": "price",
        "customer_latitude": "home_lat",
        "customer_longitude": "home_lon",
        "merchant_latitude": "shop_lat",
        "merchant_longitude": "shop_lon",
    },
    "timestamp": {"column": "when", "kind": "offset"},
    "label": {"column": "fraud", "fraud": ["yes"], "legitimate": ["no"]},
}


def mapping(**changes: Any) -> Mapping:
    """The mapping of these sources, with some fields changed."""
    return Mapping.model_validate({**FIELDS, **changes})


def row(**changes: str) -> str:
    """The good row with some cells changed, by the names of the header."""
    cells = dict(zip(HEADER.split(","), GOOD.split(","), strict=True))
    assert changes.keys() <= cells.keys()
    return ",".join({**cells, **changes}.values())


def write_csv(path: Path, *rows: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
    """A CSV file of a header and rows."""
    path.write_bytes("".join(f"{line}\n" for line in (header, *rows)).encode(encoding))
    return path
