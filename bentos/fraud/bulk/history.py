"""Features of rows in order of time, through a temporary store that holds what the real one knows of their keys.

So files are scored by the very code that scores single transactions, and nothing of them is recorded in the real store.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bentos.core.errors import Unavailable
from bentos.core.features import _states
from bentos.core.features.history import CATEGORY, CUSTOMER, KINDS, MERCHANT, KeyKind
from bentos.core.features.online import feature_columns
from bentos.core.features.pseudonyms import KEY_BYTES, Pseudonyms
from bentos.core.features.window_statistics import WIDTH
from bentos.core.features.windows import FloatArray, IntArray
from bentos.fraud.bulk.validating import Rows, default_category
from bentos.fraud.store.base import FeatureStore
from bentos.fraud.store.embedded import EmbeddedStore

__all__ = ["Spool"]

#: What the compiled store takes, and what else its features need.
_RECORD: Final = np.dtype(
    [
        ("keys", "u1", (len(KINDS), KEY_BYTES)),
        ("identity", "<u8"),
        ("time", "<i8"),
        ("amount", "<f8"),
        ("record", "<i8"),
        ("offset", "<i8"),
        ("coordinates", "<f8", (4,)),
        ("place", "<i8"),
    ]
)
_ROW_BYTES: Final = _states.ROW_BYTES
_BLOCK: Final = 16_384
#: Keys that are remembered by their identifiers; beyond that they are hashed anew.
_REMEMBERED: Final = 100_000
_CAPACITY: Final = 1 << 42
_KINDS: Final[dict[KeyKind, str]] = {CUSTOMER: "customer_id", MERCHANT: "merchant_id", CATEGORY: "merchant_category"}


class _Keys:
    """Keys of one kind, and which of them the temporary store was already given."""

    def __init__(self, kind: KeyKind, pseudonyms: Pseudonyms) -> None:
        self._kind = kind
        self._pseudonyms = pseudonyms
        self._known: dict[str, bytes] = {}

    def of(self, column: pa.Array) -> tuple[NDArray[np.uint8], list[str]]:
        """Keys, uint8 [n, 16], and the identifiers that were not remembered."""
        coded = column.dictionary_encode()
        names = coded.dictionary.to_pylist()
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        fresh = [name for name in names if name not in self._known]
        for name in fresh:
            self._known[name] = self._pseudonyms.key(self._kind, name)
        keys = np.frombuffer(b"".join(map(self._known.__getitem__, names)), np.uint8).reshape(-1, KEY_BYTES)
        return keys[coded.indices.to_numpy(zero_copy_only=False)], fresh


class Spool:
    """Rows of a file on their way to features.

    Parameters
    ----------
    folder
        Empty; for temporary files.
    store
        The real store.
    pseudonyms
        The hash of its keys.
    """

    def __init__(self, folder: Path, store: FeatureStore, pseudonyms: Pseudonyms, name: str) -> None:
        self._folder = folder
        self._store = store
        self._pseudonyms = pseudonyms
        self._name = name
        self._keys = {kind: _Keys(kind, pseudonyms) for kind in KINDS}
        self._latest = 0
        self._temporary = EmbeddedStore(folder / "features.store", pseudonyms, _CAPACITY, lambda: max(self._latest, 1))
        self._stream = (folder / "rows").open("wb")
        self._times: list[IntArray] = []

    def close(self) -> None:
        """Give back what is open."""
        self._stream.close()
        self._temporary.close()

    def add(self, rows: Rows, start: int) -> None:
        """Take the good rows of a piece whose first row has the number ``start``; bring along what is known of them."""
        places = np.flatnonzero(rows.good)
        if not len(places):
            return
        chosen = pa.array(places)
        records = np.zeros(len(places), _RECORD)
        wanted: dict[KeyKind, list[str]] = {}
        for number, (kind, column) in enumerate(_KINDS.items()):
            names = rows.names[column]
            names = (default_category(names) if kind is CATEGORY else names).take(chosen)
            records["keys"][:, number], wanted[kind] = self._keys[kind].of(names)
        records["identity"] = self._identities(rows.names["transaction_id"].take(chosen), places + start)
        records["time"], records["offset"] = rows.time[places], rows.offset[places]
        records["amount"], records["record"] = rows.amount[places], 1
        records["coordinates"] = rows.coordinates[:, places].T
        records["place"] = places + start
        if any(wanted.values()):
            self._temporary.add(self._store.extract(wanted))
        self._stream.write(records.tobytes())
        self._times.append(rows.time[places])
        self._latest = max(self._latest, int(rows.time[places].max()))

    def _identities(self, names: pa.Array, places: IntArray) -> NDArray[np.uint64]:
        identity = self._pseudonyms.identity
        return np.array(
            [
                identity(f"{self._name}-{place}" if name is None else name)
                for name, place in zip(names.to_pylist(), places.tolist(), strict=True)
            ],
            np.uint64,
        )

    def features(
        self, told: Callable[[float], None], go_on: Callable[[], None]
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Numbers of rows, int64 [k], and their features, float64 [k, 21], block by block in order of time."""
        self._stream.close()
        time = np.concatenate(self._times) if self._times else np.empty(0, np.int64)
        self._times.clear()
        in_order = bool((time[1:] >= time[:-1]).all())
        order = np.arange(len(time)) if in_order else np.argsort(time, kind="stable")
        del time
        if not len(order):
            return
        with (self._folder / "rows").open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            records = np.frombuffer(mapped, _RECORD)
            for start in range(0, len(order), _BLOCK):
                go_on()
                block = records[order[start : start + _BLOCK]]
                mapped.madvise(mmap.MADV_DONTNEED)
                yield block["place"].copy(), self._computed(block)
                told(min(start + _BLOCK, len(order)) / len(order))
            del records
            mapped.close()

    def _computed(self, block: NDArray[np.void]) -> FloatArray:
        rows = np.ascontiguousarray(block.view(np.uint8).reshape(len(block), -1)[:, :_ROW_BYTES])
        statistics = np.empty((WIDTH, len(block)))
        outcomes = bytearray(len(block))
        worst = self._temporary.states.lookup(rows.tobytes(), statistics, outcomes, max(self._latest, 1))
        if worst != _states.DONE:
            raise Unavailable(
                "the temporary feature store of the work cannot take more: the disk of its folder is full, or too slow"
            )
        return feature_columns(
            block["time"].copy(),
            block["offset"].copy(),
            block["amount"].copy(),
            block["coordinates"].T.copy(),
            statistics,
        )
