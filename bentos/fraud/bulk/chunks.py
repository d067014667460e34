"""Files of a work folder: names, and how they are written and read."""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from bentos.core.errors import NotFound, Unavailable
from bentos.core.features.windows import FloatArray
from bentos.core.files import atomic_file
from bentos.fraud.options import Explain

__all__ = ["PLAN_FILE", "PlanFile", "disk_told", "features_name", "input_name", "scored_name", "written"]

PLAN_FILE: Final = "plan.json"


@dataclass(frozen=True, slots=True)
class PlanFile:
    """What the first step found.

    Parameters
    ----------
    rows_total, chunks
        See :class:`.pipeline.Plan`.
    explain
        Which rows get reasons.
    columns
        Of the input, in order.
    """

    rows_total: int
    chunks: int
    explain: Explain
    columns: list[str]


def input_name(chunk: int) -> str:
    """File of a chunk's columns as they came."""
    return f"input-{chunk:05d}.arrow"


def features_name(chunk: int) -> str:
    """File of a chunk's feature rows."""
    return f"features-{chunk:05d}.npy"


def scored_name(chunk: int) -> str:
    """File of a chunk's scores."""
    return f"scored-{chunk:05d}.arrow"


@contextlib.contextmanager
def written(path: Path) -> Iterator[Any]:
    """As :func:`atomic_file`; a full disk is :class:`Unavailable`."""
    with disk_told(), atomic_file(path) as stream:
        yield stream


@contextlib.contextmanager
def disk_told() -> Iterator[None]:
    """A full disk is :class:`Unavailable`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable("the disk of the work folder is full; make room, the work is then done again") from error
        raise


def write_plan(folder: Path, plan: PlanFile) -> None:
    """Leave the plan."""
    with written(folder / PLAN_FILE) as stream:
        stream.write(json.dumps(asdict(plan)).encode())


def read_plan(folder: Path) -> PlanFile | None:
    """The plan; None when there is none yet."""
    try:
        return PlanFile(**json.loads((folder / PLAN_FILE).read_bytes()))
    except FileNotFoundError:
        return None


def write_table(path: Path, table: pa.Table) -> None:
    """Leave a table."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with written(path) as stream, pa.ipc.new_file(stream, table.schema, options=options) as writer:
        writer.write_table(table)


def read_table(path: Path) -> pa.Table:
    """Read a table that a step left.

    Raises
    ------
    NotFound
        When there is none.
    """
    try:
        with path.open("rb") as stream, pa.ipc.open_file(stream) as reader:
            return reader.read_all()
    except FileNotFoundError as error:
        raise NotFound(f"{path.name} is not there; do the step before it again") from error


def read_features(path: Path) -> FloatArray:
    """Read feature rows, float64 [n, 21].

    Raises
    ------
    NotFound
        When there are none.
    """
    try:
        values: FloatArray = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise NotFound(f"{path.name} is not there; plan the work first") from error
    return values
