"""The first step: read and validate a whole file, compute its feature rows, leave its chunks."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from bentos.core.errors import Unavailable
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.features.windows import IntArray
from bentos.fraud.bulk.chunks import (
    PlanFile,
    disk_told,
    input_name,
    read_plan,
    write_plan,
    write_table,
)
from bentos.fraud.bulk.feature_files import FeatureFiles
from bentos.fraud.bulk.history import Spool, Spooled
from bentos.fraud.bulk.reading import FileForm, Limits, Piece, open_source, refused
from bentos.fraud.bulk.settings import BulkSettings
from bentos.fraud.bulk.threads import ahead
from bentos.fraud.bulk.validating import validate
from bentos.fraud.options import Explain
from bentos.fraud.store.base import FeatureStore

__all__ = ["ERROR", "Past", "Work", "make_plan"]

#: Column of the chunks' input that no file can have: names are not empty.
ERROR: Final = ""
#: Of each attempt its own: one that was only thought dead must not take the next one's away.
_SCRATCH: Final = ".plan-"
#: Of a chunk's columns, about: a megabyte a row times its rows would fit into no memory.
_PIECE_BYTES: Final = 64 * 1024**2
#: Pieces that are validated side by side, together of no more than :data:`_PIECE_BYTES`.
_THREADS: Final = 2
#: Share of the progress.
_READ: Final = 0.4


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done; see :meth:`.pipeline.Pipeline.plan`."""

    source: str
    form: FileForm
    folder: Path
    explain: Explain


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of the past."""

    store: FeatureStore
    pseudonyms: Pseudonyms


def make_plan(
    work: Work,
    past: Past,
    settings: BulkSettings,
    on_progress: Callable[[float], None],
    stopped: Callable[[], bool],
) -> PlanFile:
    """See :meth:`.pipeline.Pipeline.plan`."""
    done = read_plan(work.folder)
    if done is not None:
        return done

    def go_on() -> None:
        if stopped():
            raise Unavailable("the work was told to stop; what it had not finished is done again")

    work.folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=work.folder))
    try:
        with disk_told():
            plan = _planned(work, past, settings, scratch, on_progress, go_on)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    write_plan(work.folder, plan)
    on_progress(1.0)
    return plan


def _planned(
    work: Work,
    past: Past,
    settings: BulkSettings,
    scratch: Path,
    on_progress: Callable[[float], None],
    go_on: Callable[[], None],
) -> PlanFile:
    columns: dict[str, None] = {}
    starts = [0]
    bad: list[IntArray] = []

    def numbered(pieces: Iterator[Piece]) -> Iterator[_Chunk]:
        for piece in _sized(pieces, settings.bulk_chunk_rows):
            go_on()
            columns.update(dict.fromkeys(piece.table.column_names))
            starts.append(starts[-1] + piece.table.num_rows)
            if starts[-1] > settings.bulk_row_limit:
                raise refused(f"has more than {settings.bulk_row_limit:,} rows, the most that is taken")
            yield _Chunk(len(starts) - 2, starts[-2], piece)

    def spooled(chunk: _Chunk) -> tuple[Spooled, IntArray]:
        return _spooled(work.folder, chunk, spool)

    with contextlib.closing(Spool(scratch, past.store, past.pseudonyms, work.folder.name)) as spool:
        with (
            open_source(work.source, work.form, _limits(settings), lambda share: on_progress(share * _READ)) as pieces,
            contextlib.closing(
                ahead(spooled, numbered(pieces), threads=_THREADS, weigh=_Chunk.weight, room=_PIECE_BYTES)
            ) as chunks,
        ):
            for rows, places in chunks:
                spool.add(rows)
                bad.append(places)
        if starts[-1] == 0:
            raise refused("has no rows")
        with FeatureFiles(work.folder, scratch, starts, np.concatenate(bad)) as files:
            for places, values in spool.features(lambda share: on_progress(_READ + share * (1 - _READ)), go_on):
                files.put(places, values)
    return PlanFile(starts[-1], len(starts) - 1, work.explain, list(columns))


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Rows of a chunk as they came, with its number and that of its first row."""

    number: int
    start: int
    piece: Piece

    def weight(self) -> int:
        return int(self.piece.table.nbytes)


def _spooled(folder: Path, chunk: _Chunk, spool: Spool) -> tuple[Spooled, IntArray]:
    """Leave a chunk's input; returns its good rows and the numbers of the others."""
    rows = validate(chunk.piece)
    table = chunk.piece.table
    errors = [rows.errors.get(place) for place in range(table.num_rows)] if rows.errors else pa.nulls(table.num_rows)
    write_table(folder / input_name(chunk.number), table.append_column(ERROR, pa.array(errors, pa.string())))
    return spool.spooled(rows, chunk.start), np.flatnonzero(~rows.good) + chunk.start


def _limits(settings: BulkSettings) -> Limits:
    return Limits(
        settings.bulk_row_limit,
        settings.bulk_byte_limit,
        settings.bulk_line_limit_bytes,
        settings.bulk_column_limit,
    )


def _sized(pieces: Iterator[Piece], size: int) -> Iterator[Piece]:
    """Pieces of so many rows each; of fewer when these are wide, and in the end."""
    held: list[Piece] = []
    count = width = 0
    for piece in pieces:
        held.append(piece)
        count += piece.table.num_rows
        width += piece.table.nbytes
        while count >= size:
            whole = _joined(held)
            yield _part(whole, 0, size)
            held = [_part(whole, size, count)]
            count -= size
            width = held[0].table.nbytes
        if width > _PIECE_BYTES and count:
            yield _joined(held)
            held, count, width = [], 0, 0
    if count:
        yield _joined(held)


def _joined(pieces: list[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    broken, originals, start = {}, {}, 0
    for piece in pieces:
        broken.update({place + start: text for place, text in piece.broken.items()})
        originals.update({place + start: row for place, row in piece.originals.items()})
        start += piece.table.num_rows
    table = pa.concat_tables([piece.table for piece in pieces], promote_options="default")
    return Piece(table.combine_chunks(), broken, originals)


def _part(piece: Piece, start: int, end: int) -> Piece:
    return Piece(
        piece.table.slice(start, end - start),
        {place - start: text for place, text in piece.broken.items() if start <= place < end},
        {place - start: row for place, row in piece.originals.items() if start <= place < end},
    )
