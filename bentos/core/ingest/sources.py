"""Data of any shape as one canonical table: read, mapped, validated, every wrong row named by its line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bentos.core.errors import DataError
from bentos.core.ingest.convert import Converter
from bentos.core.ingest.findings import REFUSED_COLUMNS, describe
from bentos.core.ingest.mapping import Mapping, load_mapping
from bentos.core.ingest.readers import find_sources, header, read_batches
from bentos.core.ingest.validate import duplicate_ids, validate
from bentos.core.transaction import CANONICAL_COLUMNS

__all__ = ["Ingested", "Progress", "ingest_table", "read_sources", "refuse_wrong"]

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Ingested:
    """What came of some sources.

    Parameters
    ----------
    table
        Canonical table of the right rows, in order of time; equal times in order of the files and their lines.
    refused
        Wrong cells, columns ``REFUSED_COLUMNS``.
    refused_rows
        Rows with at least one of them.
    warnings
        What is legal but should be known.
    """

    table: pd.DataFrame
    refused: pd.DataFrame
    refused_rows: int
    warnings: tuple[str, ...]


def _check_columns(path: Path, present: list[str], mapping: Mapping) -> list[str]:
    """Refuse files whose columns are not those of the mapping; returns the columns left unread by ``ignore: all``."""
    wanted = mapping.sources()
    missing = [name for name in wanted if name not in present]
    if missing:
        raise DataError(
            f"{path} lacks the columns {', '.join(missing)}; the mapping needs {', '.join(wanted)}; the file has "
            f"{', '.join(present)}"
        )
    clash = sorted({name for profile in mapping.profiles for name in profile.columns} & set(present))
    if clash:
        raise DataError(f"{path} has columns of its own that the mapping joins from a profile: {', '.join(clash)}")
    extra = [name for name in present if name not in wanted]
    if mapping.ignore == "all":
        return extra
    unknown = [name for name in extra if name not in mapping.ignore]
    if unknown:
        raise DataError(
            f"{path} has columns that the mapping does not know: {', '.join(unknown)}; map them, or list them under"
            " `ignore` (or set `ignore: all`)"
        )
    return []


def read_sources(sources: Sequence[str | Path], mapping: Mapping, progress: Progress | None = None) -> Ingested:
    """Read, map and validate data.

    Parameters
    ----------
    sources
        CSV and Parquet files, folders, glob patterns.
    mapping
        What their columns mean.
    progress
        Told the number of rows read after each piece.

    Raises
    ------
    DataError
        A file cannot be read as a whole: empty, truncated, columns missing or of the wrong type; or there is no row.
    """
    files = find_sources(sources, mapping)
    warnings = []
    for path in files:
        extra = _check_columns(path, header(path, mapping), mapping)
        if extra:
            warnings.append(f"{path}: left unread, as the mapping says: {', '.join(extra)}")
    tables: list[pd.DataFrame] = []
    places: list[pd.DataFrame] = []
    refused: list[pd.DataFrame] = []
    number = 0
    for file_number, path in enumerate(files):
        converter = Converter(mapping, path.parent)
        before = number
        for batch in read_batches(path, mapping, mapping.sources()):
            table, found = converter.convert(batch.table, number + 1)
            found.extend(validate(table))
            refused += [batch.broken, found.report(str(path), batch.lines)]
            good = np.ones(len(table), dtype=bool)
            good[found.rows()] = False
            tables.append(table[good])
            places.append(pd.DataFrame({"file": file_number, "line": batch.lines[good]}))
            number += len(table) + len(batch.broken)
            if progress:
                progress(number)
        if number == before:
            warnings.append(f"{path} has a header and no rows")
    if number == 0:
        raise DataError(f"there are no rows in {', '.join(str(path) for path in files)}: a header and nothing below it")
    return _joined(files, tables, places, refused, warnings)


def _joined(
    files: list[Path],
    tables: list[pd.DataFrame],
    places: list[pd.DataFrame],
    refused: list[pd.DataFrame],
    warnings: list[str],
) -> Ingested:
    table, place = pd.concat(tables, ignore_index=True), pd.concat(places, ignore_index=True)
    again, first = duplicate_ids(table["transaction_id"])
    if len(again):
        here, there = place.iloc[again], place.iloc[first]
        refused.append(
            pd.DataFrame(
                {
                    "file": [str(files[number]) for number in here["file"]],
                    "line": here["line"].to_numpy(),
                    "column": "transaction_id",
                    "value": table["transaction_id"].iloc[again].to_numpy(),
                    "reason": "was there before",
                }
            )
        )
        first_places = [f"{files[file]}:{line}" for file, line in zip(there["file"], there["line"], strict=True)]
        refused[-1]["value"] = [
            f"{value} (first at {at})" for value, at in zip(refused[-1]["value"], first_places, strict=True)
        ]
        table = table.drop(index=table.index[again])
    wrong = pd.concat([part for part in refused if len(part)] or [pd.DataFrame(columns=list(REFUSED_COLUMNS))])
    table = table.sort_values("timestamp", kind="stable", ignore_index=True)
    frauds = int(table["is_fraud"].sum())
    if len(table) and frauds in (0, len(table)):
        kind = "fraud" if frauds else "legitimate"
        warnings.append(f"every row is {kind}: a model cannot be trained on one class; check the mapping's label")
    rows = len(wrong.drop_duplicates(["file", "line"]))
    return Ingested(table[list(CANONICAL_COLUMNS)], wrong.reset_index(drop=True), rows, tuple(warnings))


def refuse_wrong(result: Ingested, examples: int) -> None:
    """Raise DataError when any row is wrong, with so many examples of each kind."""
    if result.refused_rows:
        raise DataError(
            f"{result.refused_rows:,} of {result.refused_rows + len(result.table):,} rows are wrong, nothing was"
            " written:\n  "
            + "\n  ".join(describe(result.refused, examples))
            + "\nCorrect them, or name a file with --refused to set them aside and write the rest"
        )


def ingest_table(sources: Sequence[str | Path], mapping: str | Path | Mapping) -> pd.DataFrame:
    """Canonical table of data, in memory.

    Raises
    ------
    DataError
        The data cannot be read, or any row is wrong; names rows by their lines.
    """
    how = mapping if isinstance(mapping, Mapping) else load_mapping(mapping)
    result = read_sources(sources, how)
    refuse_wrong(result, 3)
    return result.table
