"""Features of rows in order of time, through a temporary store that holds what the real one knows of their keys.

So files are scored by the very code that scores single transactions, and nothing of them is recorded in the real store.
"""

from __future__ import annotations

import contextlib
import dataclasses
import mmap
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bentos.core.errors import Unavailable
from bentos.core.features import _states
from bentos.core.features.history import CATEGORY, CUSTOMER, KINDS, MERCHANT, KeyKind
from bentos.core.features.online import feature_columns
from bentos.core.features.pseudonyms import KEY_BYTES, Pseudonyms
from bentos.core.features.snapshot import Snapshot, joined_states
from bentos.core.features.window_statistics import WIDTH
from bentos.core.features.windows import FloatArray, IntArray
from bentos.fraud.bulk.threads import ahead
from bentos.fraud.bulk.validating import Rows, default_category
from bentos.fraud.store.base import FeatureStore
from bentos.fraud.store.embedded import EmbeddedStore

__all__ = ["Spool", "Spooled"]

#: What the compiled store takes.
_ROW: Final = np.dtype(
    [
        ("keys", "u1", (len(KINDS), KEY_BYTES)),
        ("identity", "<u8"),
        ("time", "<i8"),
        ("amount", "<f8"),
        ("record", "<i8"),
    ]
)
#: With what else its features need.
_RECORD: Final = np.dtype([*_ROW.descr, ("offset", "<i8"), ("coordinates", "<f8", (4,)), ("place", "<i8")])
_BLOCK: Final = 16_384
#: Identities are told apart by so many of their bits while nothing but a hint is needed.
_MARKS: Final = 1 << 24
#: Keys that are remembered by their identifiers; beyond that they are hashed anew.
_REMEMBERED: Final = 100_000
_CAPACITY: Final = 1 << 42
_KINDS: Final[dict[KeyKind, str]] = {CUSTOMER: "customer_id", MERCHANT: "merchant_id", CATEGORY: "merchant_category"}


class _Keys:
    """Keys of one kind, by identifier. Safe for use by several threads."""

    def __init__(self, kind: KeyKind, pseudonyms: Pseudonyms) -> None:
        self._kind = kind
        self._pseudonyms = pseudonyms
        self._adding = threading.Lock()
        # Replaced as a whole, so that it is read without the lock.
        self._known = pa.array([], pa.string()), np.empty((0, KEY_BYTES), np.uint8)

    def of(self, column: pa.Array) -> tuple[NDArray[np.uint8], list[str]]:
        """Keys, uint8 [n, 16], and the identifiers that were not remembered."""
        coded = column.dictionary_encode()
        identifiers, keys = self._known
        places = pc.index_in(coded.dictionary, value_set=identifiers)
        fresh: list[str] = []
        if places.null_count:
            with self._adding:
                identifiers, keys, fresh = self._learnt(coded.dictionary)
            places = pc.index_in(coded.dictionary, value_set=identifiers)
        return keys[places.to_numpy()[coded.indices.to_numpy()]], fresh

    def _learnt(self, names: pa.Array) -> tuple[pa.Array, NDArray[np.uint8], list[str]]:
        identifiers, keys = self._known
        if len(identifiers) > _REMEMBERED:
            identifiers, keys = identifiers[:0], keys[:0]
        # Another thread may have met some of them meanwhile.
        unknown = names.filter(pc.is_null(pc.index_in(names, value_set=identifiers)))
        fresh = unknown.to_pylist()
        hashed = b"".join(self._pseudonyms.key(self._kind, name) for name in fresh)
        identifiers = pa.concat_arrays([identifiers, unknown])
        keys = np.concatenate([keys, np.frombuffer(hashed, np.uint8).reshape(-1, KEY_BYTES)])
        self._known = identifiers, keys
        return identifiers, keys, fresh


class _Seen:
    """Identities that came before: it forgets none, and takes a few for one of these.

    Searching a busy key's events for a transaction is what looking one up costs most, and nearly all are new.
    """

    def __init__(self) -> None:
        self._marks = np.zeros(_MARKS, bool)

    def note(self, identities: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Whether each is new for certain, bool [n]; from then on none is."""
        marks = (identities % np.uint64(_MARKS)).astype(np.int64)
        new = np.zeros(len(marks), bool)
        new[np.unique(marks, return_index=True)[1]] = True
        new &= ~self._marks[marks]
        self._marks[marks] = True
        return new


class _Lane:
    """The temporary store of one kind of keys: none waits for that of another, and each fits better into the caches."""

    def __init__(self, path: Path, kind: KeyKind, pseudonyms: Pseudonyms) -> None:
        self._kind = kind
        self._skipped = sum(_states.SKIP << place for place, other in enumerate(KINDS) if other is not kind)
        # A store forgets keys that had no event since long before its newest one, which must not be later than the row
        # whose turn it is: a file of three months would lose its own past to what the real store has seen today. So the
        # clock by which the newest one is taken over stands at the beginning of time.
        self._store = EmbeddedStore(path, pseudonyms, _CAPACITY, lambda: 1)

    def fill(self, known: Snapshot) -> None:
        """Bring along what is known of its keys."""
        states = {name: found if name == self._kind.name else joined_states(()) for name, found in known.states.items()}
        self._store.add(dataclasses.replace(known, states=states))

    def look_up(self, rows: NDArray[np.void], statistics: FloatArray, latest: int) -> None:
        """Fill in the statistics of its kind, and record the rows."""
        asked = rows.copy()
        asked["record"] |= self._skipped
        if self._store.states.lookup(asked.view(np.uint8), statistics, bytearray(len(rows)), latest) != _states.DONE:
            raise Unavailable(
                "the temporary feature store of the work cannot take more: the disk of its folder is full, or too slow"
            )

    def close(self) -> None:
        """Give back what is open."""
        self._store.close()


@dataclasses.dataclass(frozen=True, slots=True)
class Spooled:
    """The good rows of a piece, and the identifiers of each kind whose keys were not met before."""

    records: NDArray[np.void]
    fresh: dict[KeyKind, list[str]]


@dataclasses.dataclass(frozen=True, slots=True)
class _Asked:
    """Rows of a block, the statistics that the lanes fill in, and their work on it."""

    block: NDArray[np.void]
    statistics: FloatArray
    lanes: list[Future[None]]


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
    name
        Part of the transaction ids that are made where they are missing.
    """

    def __init__(self, folder: Path, store: FeatureStore, pseudonyms: Pseudonyms, name: str) -> None:
        self._folder = folder
        self._store = store
        self._pseudonyms = pseudonyms
        self._name = name
        self._keys = {kind: _Keys(kind, pseudonyms) for kind in KINDS}
        self._latest = 1
        self._lanes = [_Lane(folder / f"{kind.name}.store", kind, pseudonyms) for kind in KINDS]
        self._seen = _Seen()
        self._stream = (folder / "rows").open("wb")
        self._times: list[IntArray] = []

    def close(self) -> None:
        """Give back what is open."""
        self._stream.close()
        for lane in self._lanes:
            lane.close()

    def spooled(self, rows: Rows, start: int) -> Spooled:
        """The good rows of a piece whose first row has the number ``start``. Safe for use by several threads."""
        places = np.flatnonzero(rows.good)
        chosen = None if len(places) == len(rows.good) else pa.array(places)
        records = np.zeros(len(places), _RECORD)
        fresh: dict[KeyKind, list[str]] = {}
        for number, (kind, column) in enumerate(_KINDS.items()):
            names = rows.names[column]
            names = _taken(default_category(names) if kind is CATEGORY else names, chosen)
            records["keys"][:, number], fresh[kind] = self._keys[kind].of(names)
        records["identity"] = self._identities(_taken(rows.names["transaction_id"], chosen), places + start)
        records["time"], records["offset"] = rows.time[places], rows.offset[places]
        records["amount"], records["record"] = rows.amount[places], _states.RECORD
        records["coordinates"] = rows.coordinates[:, places].T
        records["place"] = places + start
        return Spooled(records, fresh)

    def _identities(self, names: pa.Array, places: IntArray) -> NDArray[np.uint64]:
        if not len(names):
            return np.empty(0, np.uint64)
        if names.null_count:
            missing = pc.is_null(names)
            made = [f"{self._name}-{place}" for place in places[missing.to_numpy(zero_copy_only=False)].tolist()]
            names = pc.replace_with_mask(names, missing, pa.array(made, names.type))
        _, offsets, text = names.buffers()
        ends = np.frombuffer(offsets, np.int32)[names.offset : names.offset + len(names) + 1]
        return self._pseudonyms.identities(text or b"", ends)

    def add(self, piece: Spooled) -> None:
        """Take the rows of the next piece, and bring along what is known of them."""
        if not len(piece.records):
            return
        if any(piece.fresh.values()):
            known = self._store.extract(piece.fresh)
            for states in known.states.values():
                self._seen.note(states.cells["identity"])
            for lane in self._lanes:
                lane.fill(known)
        time = piece.records["time"].copy()
        self._stream.write(piece.records.data)
        self._times.append(time)
        self._latest = max(self._latest, int(time.max()))

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
        done = 0
        # Each lane looks up in a thread of its own, in order of time and without a wait for the others, while one more
        # computes with what all of them found.
        with contextlib.ExitStack() as stack:
            threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in self._lanes]
            asked = (self._asked(block, threads) for block in self._blocks(order, go_on))
            for places, values in stack.enter_context(contextlib.closing(ahead(_computed, asked))):
                yield places, values
                done += len(places)
                told(done / len(order))

    def _blocks(self, order: IntArray, go_on: Callable[[], None]) -> Iterator[NDArray[np.void]]:
        with (self._folder / "rows").open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            records = np.frombuffer(mapped, _RECORD)
            for start in range(0, len(order), _BLOCK):
                go_on()
                block = records[order[start : start + _BLOCK]]
                mapped.madvise(mmap.MADV_DONTNEED)
                yield block
            del records
            mapped.close()

    def _asked(self, block: NDArray[np.void], threads: Sequence[ThreadPoolExecutor]) -> _Asked:
        block["record"][self._seen.note(block["identity"])] |= _states.FRESH
        rows = np.ascontiguousarray(block.view(np.uint8).reshape(len(block), -1)[:, : _ROW.itemsize]).view(_ROW)[:, 0]
        statistics = np.empty((WIDTH, len(block)))
        lanes = zip(threads, self._lanes, strict=True)
        return _Asked(
            block,
            statistics,
            [thread.submit(lane.look_up, rows, statistics, self._latest) for thread, lane in lanes],
        )


def _taken(column: pa.Array, places: pa.Array | None) -> pa.Array:
    return column if places is None else column.take(places)


def _computed(asked: _Asked) -> tuple[IntArray, FloatArray]:
    for lane in asked.lanes:
        lane.result()
    block = asked.block
    values = feature_columns(
        block["time"].copy(),
        block["offset"].copy(),
        block["amount"].copy(),
        block["coordinates"].T.copy(),
        asked.statistics,
    )
    return block["place"].copy(), values
