"""What is wrong with which rows: collected by position, reported by file and line."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["REFUSED_COLUMNS", "Findings", "describe", "shown"]

#: Columns of a report of refused rows. ``line`` counts from 1: of a CSV file its lines (the header is line 1; of a row
#: over several lines the first), of a Parquet file its rows.
REFUSED_COLUMNS: Final = ("file", "line", "column", "value", "reason")
_SHOWN_CHARACTERS: Final = 80


def shown(value: object) -> str:
    """A value as it may stand in a report: printable and short."""
    text = "" if value is None or value is pd.NaT else str(value)
    if len(text) > _SHOWN_CHARACTERS:
        text = text[:_SHOWN_CHARACTERS] + "…"
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


class Findings:
    """Wrong cells of one table of n rows. The first reason found for a cell stays, later ones are not kept."""

    def __init__(self) -> None:
        self._parts: list[pd.DataFrame] = []

    def add(self, wrong: NDArray[Any], column: str, values: pa.ChunkedArray | pd.Series[Any], reason: str) -> None:
        """Refuse the rows of a mask (bool [n]) for the cells ``values`` [n] of a column."""
        rows = np.flatnonzero(wrong)
        if len(rows):
            cells = values.iloc[rows].tolist() if isinstance(values, pd.Series) else values.take(rows).to_pylist()
            self._parts.append(
                pd.DataFrame(
                    {"row": rows, "column": column, "value": [shown(cell) for cell in cells], "reason": reason}
                )
            )

    def extend(self, other: Findings) -> None:
        """Add those of another collection over the same rows."""
        self._parts.extend(other._parts)

    def frame(self) -> pd.DataFrame:
        """Columns row, column, value, reason, in order of row."""
        if not self._parts:
            return pd.DataFrame({"row": np.empty(0, dtype=np.int64), "column": [], "value": [], "reason": []})
        joined = pd.concat(self._parts, ignore_index=True).drop_duplicates(["row", "column"])
        return joined.sort_values("row", kind="stable", ignore_index=True)

    def rows(self) -> NDArray[np.int64]:
        """Positions of the refused rows, ascending, each once."""
        if not self._parts:
            return np.empty(0, dtype=np.int64)
        return np.unique(np.concatenate([part["row"].to_numpy(np.int64) for part in self._parts]))

    def report(self, file: str, lines: NDArray[np.int64]) -> pd.DataFrame:
        """The findings as ``REFUSED_COLUMNS``, where row k of the table is line ``lines[k]`` of a file."""
        frame = self.frame()
        frame.insert(0, "file", file)
        frame.insert(1, "line", lines[frame["row"].to_numpy(np.int64)])
        return frame[list(REFUSED_COLUMNS)]


def describe(refused: pd.DataFrame, examples: int) -> list[str]:
    """Lines that say for each kind of finding how often it occurs, and where the first ``examples`` are."""
    result = []
    for (column, reason), group in refused.groupby(["column", "reason"], sort=False):
        result.append(f"{column}: {reason} ({len(group):,} {'row' if len(group) == 1 else 'rows'})")
        result.extend(f"    {item.file}:{item.line}: {item.value!r}" for item in group.head(examples).itertuples())
        if len(group) > examples:
            result.append(f"    and {len(group) - examples:,} more")
    return result
