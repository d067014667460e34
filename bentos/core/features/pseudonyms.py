"""Keys of the feature store: keyed hashes, so that neither the store nor a snapshot names a customer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import DataError
from bentos.core.features import _blake2b
from bentos.core.features.history import KINDS, KeyKind
from bentos.core.transaction import Transaction, microseconds

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["KEY_BYTES", "EventKey", "Pseudonyms"]

KEY_BYTES = 16
#: Keeps hashes of one kind of identifier apart from those of another.
_TRANSACTION = b"transaction"
_PERSON_BYTES = 16


@dataclass(frozen=True, slots=True)
class EventKey:
    """What names a transaction in the states of its keys.

    Parameters
    ----------
    keys
        Of its customer, merchant and category, ``KEY_BYTES`` each, one after the other.
    identity
        Its number within these.
    time
        Its instant, microseconds since 1970 UTC.
    """

    keys: bytes
    identity: int
    time: int


class Pseudonyms:
    """Hashes identifiers with a secret.

    Parameters
    ----------
    secret
        At most 64 bytes are used by BLAKE2b (RFC 7693); a longer or any other text is hashed first. Empty means
        unkeyed: whoever knows the identifiers can then find their keys.
    """

    def __init__(self, secret: str) -> None:
        self._secret = hashlib.blake2b(secret.encode()).digest() if secret else b""
        # A copy of a keyed hash costs half of a new one.
        self._kinds = {kind.name: self._hash(KEY_BYTES, kind.name.encode()[:_PERSON_BYTES]) for kind in KINDS}
        self._transactions = self._hash(8, _TRANSACTION)

    def _hash(self, size: int, person: bytes) -> hashlib.blake2b:
        return hashlib.blake2b(digest_size=size, key=self._secret, person=person)

    def key(self, kind: KeyKind, identifier: str) -> bytes:
        """Key of a customer, merchant or category, 16 bytes."""
        fresh = self._kinds[kind.name].copy()
        fresh.update(_utf8(identifier))
        return fresh.digest()

    def identity(self, transaction_id: str) -> int:
        """Number of a transaction within its keys' states, 1 to 2⁶⁴ − 1."""
        fresh = self._transactions.copy()
        fresh.update(_utf8(transaction_id))
        return int.from_bytes(fresh.digest(), "little") or 1

    def identities(self, text: Buffer, offsets: NDArray[np.int32]) -> NDArray[np.uint64]:
        """As :meth:`identity`, for many, and in a tenth of the time.

        Parameters
        ----------
        text
            The identifiers in UTF-8, one after the other.
        offsets
            int32 [n + 1]; where each begins, and where the last one ends.

        Returns
        -------
        numpy.ndarray
            uint64 [n].
        """
        numbers = np.empty(len(offsets) - 1, np.uint64)
        _blake2b.hash_many(self._secret, _TRANSACTION.ljust(_PERSON_BYTES, b"\0"), text, offsets, numbers)
        return np.maximum(numbers, np.uint64(1))

    def event(self, transaction: Transaction) -> EventKey:
        """What names a transaction in a store.

        Raises
        ------
        DataError
            When it has no transaction_id.
        """
        if transaction.transaction_id is None:
            raise DataError("a transaction needs its transaction_id before it is named in a store")
        keys = b"".join(self.key(kind, getattr(transaction, kind.column)) for kind in KINDS)
        return EventKey(keys, self.identity(transaction.transaction_id), microseconds(transaction.timestamp))

    def fingerprint(self) -> str:
        """Tells two secrets apart without telling them."""
        return hashlib.blake2b(b"", digest_size=8, key=self._secret, person=b"fingerprint").hexdigest()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
