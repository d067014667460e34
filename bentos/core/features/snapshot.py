"""A snapshot of all states at the end of a table: what a fresh feature store starts with.

One ``.npz`` without pickles: for each kind of key the hashed keys, and their cells laid end to end.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import ArtifactCorrupt, ArtifactIncompatible, ArtifactMissing
from bentos.core.features.clock import DAY
from bentos.core.features.definitions import FEATURE_SCHEMA
from bentos.core.features.history import EXACT_EVENTS, KINDS, LABEL_DELAY_DAYS, KeyKind, bucket_of
from bentos.core.features.offline import instants, labels
from bentos.core.features.pseudonyms import KEY_BYTES, Pseudonyms
from bentos.core.features.running import running_by_bucket
from bentos.core.features.state import CELL, NO_LABEL, bucket_cells
from bentos.core.features.windows import IntArray
from bentos.core.files import atomic_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

__all__ = ["KeyStates", "Snapshot", "joined_states", "read_snapshot", "table_states", "write_snapshot"]


@dataclass(frozen=True, slots=True)
class KeyStates:
    """States of all keys of one kind, laid end to end.

    Parameters
    ----------
    hashes
        uint8 [k, 16].
    offsets
        int64 [k + 1]; the cells of key i are ``cells[offsets[i]:offsets[i + 1]]``.
    buckets
        int64 [k]; how many of them are buckets.
    cells
        ``CELL`` [m].
    """

    hashes: NDArray[np.uint8]
    offsets: IntArray
    buckets: IntArray
    cells: NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """States of every key at one instant.

    Parameters
    ----------
    taken_at
        Microseconds since 1970 UTC; the newest event.
    fingerprint
        Of the secret that hashed the keys.
    states
        By the name of the kind.
    """

    taken_at: int
    fingerprint: str
    states: dict[str, KeyStates]


def joined_states(found: Sequence[tuple[bytes, int, NDArray[np.void]]]) -> KeyStates:
    """States of one kind from those of single keys: hash, how many of its cells are buckets, cells."""
    hashes = np.frombuffer(b"".join(key for key, *_ in found), np.uint8).reshape(-1, KEY_BYTES)
    offsets = np.cumsum([0, *(len(cells) for *_, cells in found)], dtype=np.int64)
    buckets = np.array([count for _, count, _ in found], np.int64)
    cells = np.concatenate([cells for *_, cells in found]) if found else np.empty(0, CELL)
    return KeyStates(hashes, offsets, buckets, cells)


def table_states(table: pd.DataFrame, kind: KeyKind, pseudonyms: Pseudonyms) -> KeyStates:
    """States of one kind of key after all rows of a canonical table, with the labels known by its last row."""
    import pandas as pd

    time = instants(table["timestamp"]).astype(np.int64)
    now = int(time[-1]) if len(time) else 0
    recent = np.flatnonzero(time > now - kind.horizon)
    codes, names = pd.factorize(table[kind.column].iloc[recent])
    order = np.argsort(codes, kind="stable")
    rows, codes = recent[order], codes[order]
    cells = np.zeros(len(rows), CELL)
    cells["time"] = time[rows]
    cells["amount"] = table["amount"].to_numpy(np.float64)[rows]
    cells["count"] = 1
    cells["identity"] = [pseudonyms.identity(name) for name in table["transaction_id"].iloc[rows]]
    is_fraud, label_time = (part[rows] for part in labels(table))
    arrival = np.where(label_time == 0, cells["time"] + LABEL_DELAY_DAYS * DAY, label_time)
    known = is_fraud & (arrival <= now)
    cells["label_time"] = np.where(known, arrival, NO_LABEL)
    cells["frauds"] = known
    keys = np.frombuffer(b"".join(pseudonyms.key(kind, name) for name in names), np.uint8).reshape(-1, KEY_BYTES)
    return _fold_busy(keys, codes, cells)


def _fold_busy(keys: NDArray[np.uint8], codes: IntArray, cells: NDArray[np.void]) -> KeyStates:
    sizes = np.bincount(codes, minlength=len(keys))
    parts, buckets = [], np.zeros(len(keys), np.int64)
    for index, group in enumerate(np.split(cells, np.cumsum(sizes)[:-1]) if len(keys) else []):
        folded = group[: max(len(group) - EXACT_EVENTS, 0)]
        if len(folded):
            hour = bucket_of(folded["time"])
            start = np.flatnonzero(np.diff(hour, prepend=-1))
            sizes_of_hours = np.diff(np.append(start, len(hour)))
            running = running_by_bucket(
                folded["amount"].copy(), np.repeat(start, sizes_of_hours), np.arange(len(folded))
            )
            last = start + sizes_of_hours - 1
            frauds = np.add.reduceat(folded["frauds"], start)
            filled = bucket_cells(folded["time"][last], running, last, frauds)
            buckets[index] = len(filled)
            parts += [filled, group[len(folded) :]]
        else:
            parts.append(group)
    lengths = sizes - np.maximum(sizes - EXACT_EVENTS, 0) + buckets
    joined = np.concatenate(parts) if parts else np.empty(0, CELL)
    return KeyStates(keys, np.concatenate([[0], np.cumsum(lengths)]), buckets, joined)


def write_snapshot(table: pd.DataFrame, path: Path, pseudonyms: Pseudonyms) -> None:
    """Write the states after all rows of a table, atomically.

    Parameters
    ----------
    table
        Canonical table in order of time; see :func:`.offline.feature_table`.
    path
        ``.npz`` file, replaced when there is one.
    pseudonyms
        The hash that the serving store uses too.
    """
    time = instants(table["timestamp"]).astype(np.int64)
    head = {
        "feature_schema": FEATURE_SCHEMA,
        "taken_at": int(time[-1]) if len(time) else 0,
        "fingerprint": pseudonyms.fingerprint(),
    }
    arrays: dict[str, NDArray[np.generic]] = {"head": np.frombuffer(json.dumps(head).encode(), np.uint8)}
    for kind in KINDS:
        states = table_states(table, kind, pseudonyms)
        for part in ("hashes", "offsets", "buckets", "cells"):
            arrays[f"{kind.name}.{part}"] = getattr(states, part)
    with atomic_file(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def read_snapshot(path: Path) -> Snapshot:
    """Read a snapshot.

    Raises
    ------
    ArtifactMissing, ArtifactCorrupt, ArtifactIncompatible
        When there is none, it cannot be read, or it was made for other features.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactMissing(f"there is no feature snapshot at {path}") from error
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            head = json.loads(arrays["head"].tobytes())
            states = {
                kind.name: KeyStates(
                    *(arrays[f"{kind.name}.{part}"] for part in ("hashes", "offsets", "buckets", "cells"))
                )
                for kind in KINDS
            }
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactCorrupt(f"the feature snapshot {path} cannot be read: {error}") from error
    if head.get("feature_schema") != FEATURE_SCHEMA:
        raise ArtifactIncompatible(
            f"the feature snapshot {path} was made for feature schema {head.get('feature_schema')}, this program"
            f" computes {FEATURE_SCHEMA}; make it again from the transactions"
        )
    _check(states, path)
    return Snapshot(int(head["taken_at"]), str(head["fingerprint"]), states)


def _check(states: dict[str, KeyStates], path: Path) -> None:
    for name, part in states.items():
        sizes = np.diff(part.offsets)
        sound = (
            part.cells.dtype == CELL
            and part.hashes.shape[1:] == (KEY_BYTES,)
            and len(sizes) == len(part.hashes) == len(part.buckets)
            and (sizes >= part.buckets).all()
            and (part.buckets >= 0).all()
            and part.offsets[0] == 0
            and part.offsets[-1] == len(part.cells)
        )
        if not sound:
            raise ArtifactCorrupt(f"the feature snapshot {path} holds {name} states that do not fit together")
