"""The feature store that many machines share: states in Redis, read and recorded by one script in one round trip."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final, TypeVar

import numpy as np

from bentos.core.errors import ArtifactIncompatible, DataError, Unavailable
from bentos.core.features import _states
from bentos.core.features.clock import DAY
from bentos.core.features.definitions import FEATURE_SCHEMA
from bentos.core.features.history import CATEGORY, CUSTOMER, KINDS, MERCHANT, KeyKind
from bentos.core.features.online import feature_rows
from bentos.core.features.pseudonyms import KEY_BYTES, EventKey, Pseudonyms
from bentos.core.features.snapshot import KeyStates, Snapshot, joined_states
from bentos.core.features.window_statistics import SPECIFICATION, WIDTH
from bentos.core.transaction import Transaction, microseconds
from bentos.fraud.store.base import Delivery, FeatureRows, require_fingerprint
from bentos.fraud.store.defaults import rows_without
from bentos.fraud.store.file import now_microseconds
from bentos.fraud.store.redis_link import RedisLink, RedisPlace, Script
from bentos.fraud.store.redis_lookup import LOOKUP
from bentos.fraud.store.redis_records import packed_cells, unpacked_cells
from bentos.fraud.store.redis_scripts import ERASE, LABEL, PUT

__all__ = ["RedisStore"]

_LOGGER = logging.getLogger(__name__)
_T = TypeVar("_T")
#: Of what the strings in Redis hold.
_FORMAT: Final = 2
_CACHED_KEYS: Final = 16_384
#: Rows of one call: Redis serves nobody else meanwhile, 50 to 90 microseconds a row.
_ROWS: Final = 128
#: Keys of one call that moves whole states.
_STATES: Final = 256
_IDENTITY: Final = struct.Struct("<Q")
#: Customer, merchant, category; an event as it is kept: time, amount, identity; whether to record it.
_ROW: Final = struct.Struct(f"<{KEY_BYTES}s{KEY_BYTES}s{KEY_BYTES}sqdQB")
_LOOKUP, _LABEL, _PUT, _ERASE = map(Script, (LOOKUP, LABEL, PUT, ERASE))


class RedisStore:
    """States in Redis.

    A call that timed out may still be carried out; recording is idempotent by transaction_id, so a repeat is harmless.
    What Redis itself may lose is its configuration's matter, see docs/feature_store.md.

    Parameters
    ----------
    place
        Of the server.
    pseudonyms
        The hash of the keys.
    clock
        Microseconds since 1970 UTC; see :class:`.embedded.EmbeddedStore`.

    Raises
    ------
    ConfigError
        When the URL cannot be understood.
    ArtifactIncompatible
        When the states were written for other features, or with another pseudonym key. A server that does not answer
        is no error: until it does, rows hold defaults.
    """

    waits = True

    def __init__(self, place: RedisPlace, pseudonyms: Pseudonyms, clock: Callable[[], int] = now_microseconds) -> None:
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._prefix = place.prefix.encode()
        self._prefixes = [self._prefix + b"%d:" % number for number in range(len(KINDS))]
        self._merchant_key = lru_cache(_CACHED_KEYS)(partial(pseudonyms.key, MERCHANT))
        self._category_key = lru_cache(_CACHED_KEYS)(partial(pseudonyms.key, CATEGORY))
        self._about = f"{_FORMAT} {FEATURE_SCHEMA} {pseudonyms.fingerprint()}".encode()
        self._link = RedisLink(place)
        self.client = self._link.client
        try:
            self._agree()
        except Unavailable as error:
            _LOGGER.warning("%s; features take their defaults until it can be asked", error)
        except ArtifactIncompatible:
            self._link.close()
            raise

    # ---- looking up

    async def lookup_many(self, transactions: Sequence[Transaction], record: Sequence[bool]) -> FeatureRows:
        """See :meth:`.base.FeatureStore.lookup_many`. One round trip for up to 128 transactions."""
        times = [microseconds(item.timestamp) for item in transactions]
        rows = list(map(self._packed, transactions, times, record))
        parts = []
        failed = np.zeros(len(rows), bool)
        for start in range(0, len(rows), _ROWS):
            part = slice(start, start + _ROWS)
            answer = await self._link.ask(_LOOKUP, 0, self._clock(), self._prefix, self._about, b"".join(rows[part]))
            statistics = np.zeros((WIDTH, len(rows[part])))
            if answer is None:
                failed[part] = True
            else:
                # Sums of floating point are made by the compiled store's code, so they come out the same to the bit.
                _states.answered_statistics(SPECIFICATION[0], answer, np.array(times[part], np.int64), statistics)
            parts.append(statistics)
        together = parts[0] if len(parts) == 1 else np.concatenate([np.empty((WIDTH, 0)), *parts], axis=1)
        if failed.any():
            return rows_without(failed, transactions, times, together)
        return FeatureRows(feature_rows(transactions, times, together), [()] * len(times))

    def _packed(self, transaction: Transaction, time: int, record: bool) -> bytes:
        names = self._pseudonyms
        if transaction.transaction_id is None:
            raise DataError("a transaction needs its transaction_id before it is looked up")
        return _ROW.pack(
            names.key(CUSTOMER, transaction.customer_id),
            self._merchant_key(transaction.merchant_id),
            self._category_key(transaction.merchant_category),
            time,
            transaction.amount,
            names.identity(transaction.transaction_id),
            record,
        )

    # ---- beside

    def _agree(self) -> None:
        name = self._prefix + b"about"
        self._link.do(lambda: self.client.set(name, self._about, nx=True))
        found: Any = self._link.do(lambda: self.client.get(name))
        if found != self._about:
            raise ArtifactIncompatible(
                f"the feature store in Redis was made with {_shown(found)}, this program uses {_shown(self._about)};"
                " set FRAUD_PSEUDONYM_KEY as it was, or another FRAUD_REDIS_PREFIX to start anew"
            )

    def label(self, event: EventKey, label_time: int | None, delivery: Delivery | None = None) -> None:
        """See :meth:`.base.FeatureStore.label`."""
        keys = [self._prefixes[n] + event.keys[n * KEY_BYTES : (n + 1) * KEY_BYTES] for n in range(len(KINDS))]
        keys.append(self._prefix + b"told")
        arguments: list[bytes | int] = [
            _IDENTITY.pack(event.identity),
            event.time,
            b"" if label_time is None else label_time,
        ]
        if delivery is not None:
            arguments += delivery.source, delivery.serial
        self._link.run(_LABEL, len(keys), *keys, *arguments)

    def erase(self, kind: KeyKind, identifier: str) -> bool:
        """See :meth:`.base.FeatureStore.erase`."""
        key = self._prefixes[KINDS.index(kind)] + self._pseudonyms.key(kind, identifier)
        return bool(self._link.run(_ERASE, 1, key))

    def newest(self) -> int | None:
        """See :meth:`.base.FeatureStore.newest`."""
        found = self._link.do(lambda: self.client.get(self._prefix + b"latest"))
        return None if found is None else int(found)

    def extract(self, keys: Mapping[KeyKind, Sequence[str]]) -> Snapshot:
        """See :meth:`.base.FeatureStore.extract`."""
        states = {}
        for prefix, kind in zip(self._prefixes, KINDS, strict=True):
            hashes = [self._pseudonyms.key(kind, one) for one in dict.fromkeys(keys.get(kind, ()))]
            found = []
            for part in _parts(hashes, _STATES):
                names = [prefix + key + letter for key in part for letter in (b"e", b"b", b"f")]
                strings: Any = self._link.do(partial(self.client.mget, names))
                for place, key in enumerate(part):
                    cells, buckets = unpacked_cells(*strings[3 * place : 3 * place + 3])
                    if len(cells):
                        found.append((key, buckets, cells))
            states[kind.name] = joined_states(found)
        return Snapshot(self.newest() or 0, self._pseudonyms.fingerprint(), states)

    def fill(self, snapshot: Snapshot) -> bool:
        """See :meth:`.base.FeatureStore.fill`.

        Several servers that start at once may all do it; the note that it is done comes last, so one that died in the
        middle leaves it to the next.

        Raises
        ------
        ArtifactIncompatible
            When the snapshot's keys were hashed with another pseudonym key.
        Unavailable
            When the store fails.
        """
        require_fingerprint(snapshot, self._pseudonyms)
        name = self._prefix + b"filled"
        if self._link.do(lambda: self.client.get(name)) is not None:
            return False
        self.add(snapshot)
        return bool(self._link.do(lambda: self.client.set(name, b"1", nx=True)))

    def add(self, snapshot: Snapshot) -> None:
        """See :meth:`.base.FeatureStore.add`."""
        require_fingerprint(snapshot, self._pseudonyms)
        for prefix, kind in zip(self._prefixes, KINDS, strict=True):
            states = snapshot.states[kind.name]
            for part in _parts(range(len(states.hashes)), _STATES):
                keys = [prefix + states.hashes[number].tobytes() for number in part]
                strings = [text for number in part for text in _strings(states, number)]
                self._link.run(_PUT, len(keys), *keys, *strings)
        # Nothing is recorded by it but the time, if that is later.
        newest = min(snapshot.taken_at, self._clock() + DAY)
        if newest > (self.newest() or 0):
            self._link.do(lambda: self.client.set(self._prefix + b"latest", newest))

    def check(self) -> str | None:
        """See :meth:`.base.FeatureStore.check`; asks nobody, but tells how the last calls went."""
        return self._link.trouble

    def stats(self) -> dict[str, int]:
        """For operators: keys of all kinds in the database, bytes that the server uses."""
        return {
            "keys": int(self._link.do(self.client.dbsize)),
            "used_bytes": int(self._link.do(lambda: self.client.info("memory"))["used_memory"]),
        }

    async def leave(self) -> None:
        """See :meth:`.base.FeatureStore.leave`."""
        await self._link.leave()

    def close(self) -> None:
        """See :meth:`.base.FeatureStore.close`; loops that looked up have called :meth:`leave` before."""
        self._link.close()


def _strings(states: KeyStates, number: int) -> tuple[bytes, bytes, bytes]:
    cells = states.cells[states.offsets[number] : states.offsets[number + 1]]
    return packed_cells(cells, int(states.buckets[number]))


def _parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _shown(about: bytes | None) -> str:
    parts = (about or b"? ? ?").decode(errors="replace").split()
    return "format {}, feature_schema {}, pseudonym_key {}".format(*(*parts, "?", "?", "?")[:3])
