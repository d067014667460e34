"""Names of the columns of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bentos.core.transaction import Transaction
from bentos.fraud.bulk.reading import Limits, refused

__all__ = ["COORDINATES", "FIELDS", "REQUIRED", "RESULT_COLUMNS", "TEXTS", "check_columns", "kept_names"]

FIELDS: Final = tuple(Transaction.model_fields)
REQUIRED: Final = tuple(name for name, field in Transaction.model_fields.items() if field.is_required())
TEXTS: Final = ("transaction_id", "customer_id", "merchant_id", "merchant_category")
COORDINATES: Final = tuple(name for name in FIELDS if name.endswith(("_latitude", "_longitude")))
#: What a result has besides the input's columns.
RESULT_COLUMNS: Final = ("score", "decision", "reasons", "error", "model_version")


def check_columns(names: Sequence[str], limits: Limits) -> None:
    """Refuse columns that cannot be scored.

    Raises
    ------
    InvalidInput
        A required one is missing, one comes twice, or there are too many.
    """
    if len(names) > limits.columns:
        raise refused(f"has {len(names):,} columns, at most {limits.columns:,} are taken")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise refused(f"names these columns more than once: {', '.join(map(_shown, twice))}")
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        has = ", ".join(map(_shown, names[:20])) + (", …" if len(names) > 20 else "")
        raise refused(f"lacks the columns {', '.join(missing)}; it has {has}")
    odd = next((name for name in names if not name or not name.isprintable() or len(name) > 128), None)
    if odd is not None:
        raise refused(f"has a column named {_shown(odd)!r}; names are 1 to 128 printable characters")


def kept_names(names: Sequence[str]) -> list[str]:
    """Names of the input's columns in the result: one that the result needs itself gets input_ before it."""
    taken = {*names, *RESULT_COLUMNS}
    kept = []
    for name in names:
        fresh = name
        if name in RESULT_COLUMNS:
            while fresh in taken:
                fresh = f"input_{fresh}"
            taken.add(fresh)
        kept.append(fresh)
    return kept


def _shown(name: str) -> str:
    short = name if len(name) <= 40 else name[:40] + "…"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in short)
