"""How customers and merchants stand in the records: as they were sent, or as keys of the feature store."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from bentos.core.features.history import CATEGORY, CUSTOMER, MERCHANT, KeyKind
from bentos.core.features.pseudonyms import EventKey, Pseudonyms

__all__ = ["Identifiers", "packed_event", "unpacked_event"]

_REMEMBERED: Final = 4096
_KEYS: Final = 48


class Identifiers:
    """Writes and finds identifiers. Safe for use by several threads.

    Parameters
    ----------
    pseudonyms
        Of the feature store.
    hashed
        Whether new records get keys; those that are there stay as they are, and are found either way.
    """

    def __init__(self, pseudonyms: Pseudonyms, hashed: bool) -> None:
        self._pseudonyms = pseudonyms
        self.hashed = hashed
        # Merchants and categories come again and again.
        self._key = lru_cache(_REMEMBERED)(pseudonyms.key)

    def kept(self, kind: KeyKind, identifier: str) -> str:
        """What a new record keeps of an identifier."""
        return self._key(kind, identifier).hex() if self.hashed else identifier

    def form(self, kind: KeyKind, identifier: str, *, hashed: bool) -> str:
        """An identifier as a record keeps it that is hashed or not."""
        return self._pseudonyms.key(kind, identifier).hex() if hashed else identifier

    def event(
        self, transaction_id: str, customer: str, merchant: str, category: str, event_time: int, *, hashed: bool
    ) -> EventKey:
        """What names a transaction in the feature store, from what its record keeps."""
        keys = b"".join(
            bytes.fromhex(kept) if hashed else self._pseudonyms.key(kind, kept)
            for kind, kept in ((CUSTOMER, customer), (MERCHANT, merchant))
        )
        keys += self._pseudonyms.key(CATEGORY, category)
        return EventKey(keys, self._pseudonyms.identity(transaction_id), event_time)


def packed_event(event: EventKey) -> bytes:
    """An event as 64 bytes."""
    return event.keys + event.identity.to_bytes(8, "little") + event.time.to_bytes(8, "little", signed=True)


def unpacked_event(packed: bytes) -> EventKey:
    """An event from its bytes."""
    identity, time = packed[_KEYS : _KEYS + 8], packed[_KEYS + 8 :]
    return EventKey(packed[:_KEYS], int.from_bytes(identity, "little"), int.from_bytes(time, "little", signed=True))
