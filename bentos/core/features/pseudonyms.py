"""Keys of the feature store: keyed hashes, so that neither the store nor a snapshot names a customer."""

from __future__ import annotations

import hashlib

from bentos.core.features.history import KeyKind

__all__ = ["KEY_BYTES", "Pseudonyms"]

KEY_BYTES = 16


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

    def key(self, kind: KeyKind, identifier: str) -> bytes:
        """Key of a customer, merchant or category, 16 bytes."""
        person = kind.name.encode()[:16]
        return hashlib.blake2b(_utf8(identifier), digest_size=KEY_BYTES, key=self._secret, person=person).digest()

    def identity(self, transaction_id: str) -> int:
        """Number of a transaction within its keys' states, 1 to 2⁶⁴ − 1."""
        digest = hashlib.blake2b(_utf8(transaction_id), digest_size=8, key=self._secret, person=b"transaction").digest()
        return int.from_bytes(digest, "little") or 1

    def fingerprint(self) -> str:
        """Tells two secrets apart without telling them."""
        return hashlib.blake2b(b"", digest_size=8, key=self._secret, person=b"fingerprint").hexdigest()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
