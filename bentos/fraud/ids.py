"""Names for what came without one."""

from __future__ import annotations

from random import getrandbits

__all__ = ["new_id"]


def new_id() -> str:
    """A random name, 32 hexadecimal digits: as unlikely to repeat as a UUID.

    It is no secret. Python seeds its generator from the system's in every process, forked ones included.
    """
    return f"{getrandbits(128):032x}"
