"""Lots: which transactions are chosen by chance, the same ones however often they come and whoever asks."""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["Lots"]

_BYTES: Final = 8
_ALL: Final = 1 << (8 * _BYTES)


class Lots:
    """Draws a share of transactions by a hash of their ids. Safe for use by several threads.

    Parameters
    ----------
    secret
        Keys the hash: who does not know it cannot look for an id that is chosen. Empty means unkeyed.
    purpose
        What the lots are for, up to 16 ASCII characters; those of two purposes are independent.
    """

    def __init__(self, secret: str, purpose: str) -> None:
        key = hashlib.blake2b(secret.encode()).digest() if secret else b""
        self._hash = hashlib.blake2b(digest_size=_BYTES, key=key, person=purpose.encode())

    def drawn(self, transaction_id: str, share: float) -> bool:
        """Whether a transaction is among a share, 0 to 1, of all. A larger share has all of a smaller one's."""
        fresh = self._hash.copy()
        fresh.update(transaction_id.encode("utf-8", "surrogatepass"))
        return int.from_bytes(fresh.digest(), "big") < share * _ALL
