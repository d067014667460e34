"""What a service of this server is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from bentos.fraud.grpc.calls import Call

__all__ = ["Methods", "StreamingMethod", "UnaryMethod"]


@dataclass(frozen=True, slots=True)
class UnaryMethod:
    """One message, one answer.

    Parameters
    ----------
    label
        Value of the label ``method`` in metrics.
    answer
        From a serialized message to the serialized answer. Raises the errors of ``bentos.core.errors``. It is cancelled
        when nobody waits any more.
    limit_bytes
        Longest message.
    admit
        Asked before a message is read; raises when the call is to be refused.
    at_once
        Whether an answer that began now would not wait for anything.
    """

    label: str
    answer: Callable[[bytes, Call], Awaitable[bytes]]
    limit_bytes: int
    admit: Callable[[], None] | None = None
    at_once: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True)
class StreamingMethod:
    """Messages in, answers out, in any order.

    Parameters
    ----------
    label
        Value of the label ``method`` in metrics.
    serve
        Takes ``call.messages()`` and sends by ``await call.send(...)``; the call ends well when it returns.
    limit_bytes
        Longest message.
    """

    label: str
    serve: Callable[[Call], Awaitable[None]]
    limit_bytes: int


#: Methods by their path, such as ``/fraud.v1.FraudService/Predict``.
Methods: TypeAlias = Mapping[str, UnaryMethod | StreamingMethod]
