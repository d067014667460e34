"""The caller's place in a trace: traceparent of W3C Trace Context (www.w3.org/TR/trace-context)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["TraceParent", "read_traceparent"]

_VERSION_0: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
#: Later versions may append fields, and are read as far as they are known.
_LATER: Final = re.compile(r"(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-[!-~]*)?")
_MAXIMUM_LENGTH: Final = 512
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class TraceParent:
    """The span that a request belongs to.

    Parameters
    ----------
    trace_id, span_id
        32 and 16 hexadecimal digits.
    sampled
        Whether the caller records its trace.
    """

    trace_id: str
    span_id: str
    sampled: bool


def read_traceparent(given: str) -> TraceParent | None:
    """What a header says; None when it is anything but a traceparent, which is then as if it had not come."""
    if len(given) > _MAXIMUM_LENGTH:
        return None
    match = _VERSION_0.fullmatch(given) or _LATER.fullmatch(given)
    if match is None:
        return None
    trace_id, span_id, flags = match.groups()
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceParent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))
