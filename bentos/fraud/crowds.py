"""JSON that is small to send and large to hold."""

from __future__ import annotations

import numpy as np

from bentos.core.errors import FieldError, InvalidInput

__all__ = ["refuse_crowded"]


def refuse_crowded(content: bytes, most_values: int) -> None:
    """Refuse JSON with more values than a call can need, before it is read.

    Megabytes of empty lists would become gigabytes of objects, and hold up everybody else for seconds. Marks within
    texts count too, so the limit has to be generous.

    Raises
    ------
    InvalidInput
        When it has more.
    """
    octets = np.frombuffer(content, np.uint8)
    values = sum(int(np.count_nonzero(octets == mark)) for mark in b",[{")
    if values > most_values:
        message = f"holds about {values} values, a call of the largest size has at most {most_values}"
        raise InvalidInput([FieldError("body", message)])
