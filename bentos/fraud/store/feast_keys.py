"""What happens to the states that Feast keeps: each is read, changed by the compiled store's code, and written back.

Between the two nobody else on this machine writes: a lock file sees to it. Feast has no such thing among machines.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import DataError
from bentos.core.features.clock import SECOND
from bentos.core.features.history import KINDS, KeyKind
from bentos.core.features.online import feature_columns
from bentos.core.features.pseudonyms import KEY_BYTES, EventKey
from bentos.core.features.snapshot import KeyStates
from bentos.core.features.windows import FloatArray
from bentos.core.transaction import Transaction
from bentos.fraud.store.base import Delivery, FeatureRows
from bentos.fraud.store.defaults import rows_without
from bentos.fraud.store.embedded import ROW
from bentos.fraud.store.feast_rows import FeastRows, Row
from bentos.fraud.store.feast_state import NOTHING, State, packed_state, unpacked_state
from bentos.fraud.store.feast_views import (
    NEWEST,
    NOTES,
    NOTES_FILLED,
    NOTES_KEY,
    NOTES_SERIAL,
    NOTES_SOURCE,
    VIEWS,
    features_of,
)
from bentos.fraud.store.file_lock import FileLock
from bentos.fraud.store.workbench import Workbench

__all__ = ["FeastKeys", "Lookup"]

_LOGGER = logging.getLogger(__name__)
#: What is not on the way to an answer may wait so long for others.
_PATIENCE_SECONDS: Final = 5.0
_NOTE_FIELDS: Final = tuple(field.name for field in NOTES.fields)
#: No hash of anything: stands where a row has no key.
_NOBODY: Final = b"\xff" * KEY_BYTES
_FEATURES: Final = {kind: features_of(kind) for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Lookup:
    """Transactions to be looked up.

    Parameters
    ----------
    transactions
        n of them.
    keys
        Of each, one of every kind.
    identities, times, record
        Of each: its number, its instant in microseconds since 1970 UTC, whether it is recorded.
    """

    transactions: Sequence[Transaction]
    keys: Sequence[tuple[bytes, ...]]
    identities: Sequence[int]
    times: Sequence[int]
    record: Sequence[bool]


@dataclass(frozen=True, slots=True)
class _Held:
    """A state that was read: where it belongs, the row and what the row says; None when it says nothing sensible."""

    kind: KeyKind
    key: bytes
    row: Row
    state: State | None


class FeastKeys:
    """The states of one store. Not safe for use by several threads: Feast's clients are not.

    Parameters
    ----------
    rows
        Of the repository.
    lock
        Of the machine.
    clock
        Microseconds since 1970 UTC.
    """

    def __init__(self, rows: FeastRows, lock: FileLock, clock: Callable[[], int]) -> None:
        self._rows = rows
        self._lock = lock
        self._clock = clock
        self._bench = Workbench()

    # ---- looking up

    def look_up(self, asked: Lookup, timeout_seconds: float) -> FeatureRows:
        """See :meth:`.base.FeatureStore.lookup_many`; rows whose state cannot be read hold defaults."""
        recording = any(asked.record)
        with self._lock.held(timeout_seconds) if recording else contextlib.nullcontext():
            wanted = {kind: list(dict.fromkeys(keys[n] for keys in asked.keys)) for n, kind in enumerate(KINDS)}
            held = self._read(wanted, whole=False)
            with self._laid_out(held.values()) as unsound:
                rows = self._looked_up(asked, unsound)
                if recording:
                    self._write_back(held, self._last_recorded(asked, rows), None)
        return rows

    def _looked_up(self, asked: Lookup, unsound: set[bytes]) -> FeatureRows:
        count = len(asked.times)
        failed = np.array([not unsound.isdisjoint(keys) for keys in asked.keys], bool)
        packed = b"".join(
            ROW.pack(*keys, identity, time, item.amount, record and not lost)
            for keys, identity, time, item, record, lost in zip(
                asked.keys, asked.identities, asked.times, asked.transactions, asked.record, failed, strict=True
            )
        )
        statistics, busy = self._bench.look_up(packed, count, self._clock())
        return rows_without(failed | busy, asked.transactions, asked.times, statistics)

    def _last_recorded(self, asked: Lookup, rows: FeatureRows) -> dict[bytes, dict[str, Any]]:
        """Of each key of a recorded transaction, the plain fields of its row in Feast."""
        plain = {}
        for number, keys in enumerate(asked.keys):
            if asked.record[number] and not rows.degraded[number]:
                for kind, key in zip(KINDS, keys, strict=True):
                    plain[key] = (kind, number)
        return {key: _plain(kind, asked.times[number], rows.values[number]) for key, (kind, number) in plain.items()}

    def _write_back(
        self, held: Mapping[bytes, _Held], plain: Mapping[bytes, Mapping[str, Any]], delivery: Delivery | None
    ) -> None:
        """Write the rows whose state has changed on the bench."""
        changed: dict[KeyKind, list[tuple[bytes, Row]]] = {kind: [] for kind in KINDS}
        for key, one in held.items():
            if one.state is None:
                continue
            cells, buckets = self._bench.state(key)
            if buckets == one.state.buckets and cells.tobytes() == one.state.cells.tobytes():
                continue
            state = State(cells, buckets, one.state.delivery if delivery is None else delivery)
            values = {**one.row.values, **plain.get(key, {}), VIEWS[one.kind].state: packed_state(state)}
            changed[one.kind].append((key, Row(one.row.written_at, values)))
        for kind, rows in changed.items():
            self._rows.write(VIEWS[kind], rows)

    # ---- states

    def _read(self, wanted: Mapping[KeyKind, Sequence[bytes]], *, whole: bool) -> dict[bytes, _Held]:
        found = {}
        for kind, keys in wanted.items():
            view = VIEWS[kind]
            fields = [field.name for field in view.fields] if whole else [view.state]
            for key, row in zip(keys, self._rows.read(view, keys, fields), strict=True):
                found[key] = _Held(kind, key, row, _understood(row.values.get(view.state, b""), kind, key))
        return found

    @contextlib.contextmanager
    def _laid_out(self, held: Iterable[_Held]) -> Iterator[set[bytes]]:
        """The states on the bench; gives the keys of those that make no sense."""
        unsound: set[bytes] = set()
        keys = []
        try:
            for one in held:
                keys.append(one.key)
                state = one.state
                if state is None or (
                    len(state.cells) and not self._bench.put(one.kind, one.key, state.cells, state.buckets)
                ):
                    unsound.add(one.key)
            yield unsound
        finally:
            self._bench.clear([*keys, _NOBODY])

    def states(self, kind: KeyKind, keys: Sequence[bytes]) -> list[tuple[bytes, int, NDArray[np.void]]]:
        """Key, number of buckets and cells of each that has a state.

        Raises
        ------
        DataError
            When one cannot be read.
        """
        found = []
        for key, held in self._read({kind: keys}, whole=False).items():
            if held.state is None:
                raise DataError(f"the state of the {kind.name} {key.hex()} cannot be read")
            if len(held.state.cells):
                found.append((key, held.state.buckets, held.state.cells))
        return found

    def put(self, kind: KeyKind, states: KeyStates, part: range) -> int:
        """Write states whose keys have none; returns how many make no sense."""
        keys = {states.hashes[number].tobytes(): number for number in part}
        with self._lock.held(_PATIENCE_SECONDS):
            there = self._read({kind: list(keys)}, whole=False)
            new = {}
            for key, number in keys.items():
                if there[key].state is NOTHING:
                    cells = states.cells[states.offsets[number] : states.offsets[number + 1]]
                    new[key] = _Held(kind, key, there[key].row, State(cells, int(states.buckets[number])))
            with self._laid_out(new.values()) as unsound:
                sound = [one for key, one in new.items() if key not in unsound]
                plain = self._plain_of_newest(kind, sound)
            self._rows.write(VIEWS[kind], [_row_of(one, plain[number]) for number, one in enumerate(sound)])
        return len(unsound)

    def _plain_of_newest(self, kind: KeyKind, held: Sequence[_Held]) -> list[dict[str, Any]]:
        """The plain fields of keys on the bench: the features of their newest event, which does not see itself."""
        newest = np.array([one.state.cells[-1] for one in held if one.state is not None])
        if not len(newest):
            return []
        place = KINDS.index(kind)
        rows = []
        for one, cell in zip(held, newest, strict=True):
            keys = [_NOBODY] * len(KINDS)
            keys[place] = one.key
            rows.append(ROW.pack(*keys, int(cell["identity"]), int(cell["time"]), float(cell["amount"]), False))
        statistics, _ = self._bench.look_up(b"".join(rows), len(rows), self._clock())
        nowhere = np.full((4, len(rows)), nan)
        offsets = np.zeros(len(rows), np.int64)
        values = feature_columns(newest["time"], offsets, newest["amount"], nowhere, statistics)
        return [_plain(kind, int(cell["time"]), row) for cell, row in zip(newest, values, strict=True)]

    def forget(self, kind: KeyKind, key: bytes) -> bool:
        """Empty a key's row, which Feast cannot take away; returns whether it had a state."""
        view = VIEWS[kind]
        with self._lock.held(_PATIENCE_SECONDS):
            row = self._read({kind: [key]}, whole=False)[key].row
            if not row.values.get(view.state):
                return False
            self._rows.write(view, [(key, Row(row.written_at, _emptied(kind)))])
        return True

    # ---- labels

    def label(self, event: EventKey, label_time: int | None, delivery: Delivery | None) -> None:
        """See :meth:`.base.FeatureStore.label`.

        Each key's state remembers the delivery that changed it, in the same row; so one that was broken off between
        two keys goes on when it is told again.
        """
        with self._lock.held(_PATIENCE_SECONDS):
            notes = self._notes()
            if delivery is not None and _is_told(delivery, notes.values):
                return
            keys = [event.keys[start : start + KEY_BYTES] for start in range(0, len(event.keys), KEY_BYTES)]
            held = self._read({kind: [key] for kind, key in zip(KINDS, keys, strict=True)}, whole=True)
            due = {key: one for key, one in held.items() if not _is_applied(delivery, one.state)}
            with self._laid_out(due.values()) as unsound:
                if unsound:
                    raise DataError(f"the state of the key {min(unsound).hex()} cannot be read")
                self._bench.label(event, label_time)
                self._write_back(due, {}, delivery)
            if delivery is not None:
                told = {NOTES_SOURCE: delivery.source, NOTES_SERIAL: delivery.serial}
                self._note(notes, told)

    # ---- notes

    def _notes(self) -> Row:
        return self._rows.read(NOTES, [NOTES_KEY], _NOTE_FIELDS)[0]

    def _note(self, notes: Row, values: Mapping[str, Any]) -> None:
        self._rows.write(NOTES, [(NOTES_KEY, Row(notes.written_at, {**notes.values, **values}))])

    def is_filled(self) -> bool:
        """Whether a snapshot has been taken over."""
        return bool(self._notes().values.get(NOTES_FILLED, 0))

    def note_filled(self) -> bool:
        """Note that one has been; returns whether that is news."""
        with self._lock.held(_PATIENCE_SECONDS):
            notes = self._notes()
            if notes.values.get(NOTES_FILLED, 0):
                return False
            self._note(notes, {NOTES_FILLED: 1})
        return True

    def note_newest(self, time: int) -> None:
        """Take over the time of an event that was recorded elsewhere, microseconds since 1970 UTC."""
        self._bench.note_latest(time)

    def newest(self) -> int:
        """Time of the newest event, microseconds since 1970 UTC; 0 for none.

        What this process has recorded is told to the others here, not with each transaction.
        """
        own = self._bench.latest
        stored = int(self._notes().values.get(NEWEST, 0))
        if own > stored:
            with self._lock.held(_PATIENCE_SECONDS):
                notes = self._notes()
                stored = int(notes.values.get(NEWEST, 0))
                if own > stored:
                    self._note(notes, {NEWEST: own})
        return max(own, stored)

    def close(self) -> None:
        """Give back what is held open."""
        self._bench.close()
        self._lock.close()


def _plain(kind: KeyKind, time: int, row: FloatArray) -> dict[str, Any]:
    return {
        VIEWS[kind].recorded_at: time // SECOND,
        **{feature.name: float(row[column]) for column, feature in _FEATURES[kind]},
    }


def _emptied(kind: KeyKind) -> dict[str, Any]:
    defaults = {feature.name: feature.default for _, feature in _FEATURES[kind]}
    return {VIEWS[kind].state: b"", VIEWS[kind].recorded_at: 0, **defaults}


def _row_of(one: _Held, plain: Mapping[str, Any]) -> tuple[bytes, Row]:
    state = b"" if one.state is None else packed_state(one.state)
    return one.key, Row(one.row.written_at, {**plain, VIEWS[one.kind].state: state})


def _understood(data: bytes, kind: KeyKind, key: bytes) -> State | None:
    try:
        return unpacked_state(data)
    except DataError as error:
        _LOGGER.warning("the %s %s in Feast: %s", kind.name, key.hex(), error)
        return None


def _is_told(delivery: Delivery, notes: Mapping[str, Any]) -> bool:
    return bool(notes.get(NOTES_SOURCE) == delivery.source and notes.get(NOTES_SERIAL, 0) >= delivery.serial)


def _is_applied(delivery: Delivery | None, state: State | None) -> bool:
    told = None if state is None else state.delivery
    return delivery is not None and told == delivery
