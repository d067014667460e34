"""Real data as a canonical table on disk; what is wrong is refused by its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bentos.core.errors import DataError
from bentos.core.files import atomic_file
from bentos.core.ingest.findings import describe
from bentos.core.ingest.mapping import Mapping
from bentos.core.ingest.sources import Progress, read_sources, refuse_wrong
from training.data.table import Summary, write_transactions

__all__ = ["IngestReport", "ingest"]

_ROW_GROUP = 131_072


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What was written: a summary of the table, the number of refused rows, and warnings."""

    summary: Summary
    refused_rows: int
    warnings: tuple[str, ...]


def ingest(
    sources: Sequence[str | Path],
    mapping: Mapping,
    output: Path,
    *,
    refused: Path | None = None,
    examples: int = 5,
    progress: Progress | None = None,
) -> IngestReport:
    """Write the canonical table of data as Parquet.

    Parameters
    ----------
    sources, mapping, progress
        As of :func:`bentos.core.ingest.sources.read_sources`.
    output
        The Parquet file; it is there as a whole or not at all.
    refused
        CSV file for wrong rows. None: the first wrong row ends it, and nothing is written.
    examples
        How many wrong rows of each kind an error names.

    Raises
    ------
    DataError
        The data cannot be read, a row is wrong and ``refused`` is None, all rows are wrong, or the output cannot be
        written.
    """
    if refused is not None and refused.resolve() in {output.resolve(), *(Path(item).resolve() for item in sources)}:
        raise DataError(f"refused rows cannot go to {refused}: that is the output or a source")
    result = read_sources(sources, mapping, progress)
    if refused is None:
        refuse_wrong(result, examples)
    if result.table.empty:
        raise DataError("no row is right, nothing was written:\n  " + "\n  ".join(describe(result.refused, examples)))
    pieces = (result.table.iloc[begin : begin + _ROW_GROUP] for begin in range(0, len(result.table), _ROW_GROUP))
    if refused is None:
        summary = write_transactions(pieces, output)
    else:
        try:
            # The list takes its place only when the table has: both are there, or neither.
            with atomic_file(refused) as stream:
                stream.write(result.refused.to_csv(index=False).encode())
                summary = write_transactions(pieces, output)
        except OSError as error:
            raise DataError(f"{refused} cannot be written: {error.strerror or error}") from error
    return IngestReport(summary, result.refused_rows, result.warnings)
