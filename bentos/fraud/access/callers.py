"""Who calls, when that is known."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from math import inf

from bentos.fraud.access.limits import Bucket

__all__ = ["Caller"]


class Caller:
    """A key or the subject of a token, and what it may.

    Parameters
    ----------
    name
        For logs and messages; never the key.
    roles
        What it may do.
    expires
        From when it is not taken any more, ``time.time()`` seconds; ``inf`` for never.
    bucket
        Its rate limit; None when it has none.
    """

    __slots__ = ("bucket", "expires", "name", "roles")

    def __init__(self, name: str, roles: AbstractSet[str], expires: float = inf, bucket: Bucket | None = None) -> None:
        self.name = name
        self.roles = roles
        self.expires = expires
        self.bucket = bucket

    def charge(self, rows: int) -> None:
        """Count rows of a call that was let in, beside the one that every call counts as."""
        if self.bucket is not None and rows > 0:
            self.bucket.charge(rows)
