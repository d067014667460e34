"""The bucket of a customer, by which a rollout splits traffic so that a customer stays on one side."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

__all__ = ["BUCKETS", "BUCKET_HEADER", "bucket"]

BUCKETS: Final = 100

#: Header of HTTP and metadata key of gRPC in which clients send it.
BUCKET_HEADER: Final = "x-fraud-bucket"


def bucket(customer_id: str) -> str:
    """The customer's bucket, "00" to "99": the first 8 bytes of SHA-256 of the id in UTF-8, big-endian, mod 100."""
    digest = sha256(customer_id.encode()).digest()
    return f"{int.from_bytes(digest[:8], 'big') % BUCKETS:02d}"
