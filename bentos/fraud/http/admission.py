"""Who may call: what each address asks for, and the refusal of those who may not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from bentos.core.errors import FraudError
from bentos.fraud.access.guard import Guard
from bentos.fraud.access.roles import UNKNOWN_ADDRESS, Need
from bentos.fraud.http.inference import InferenceCall, failure
from bentos.fraud.http.problems import HttpAnswer, error_answer
from bentos.fraud.observe.exchange import current_exchange

if TYPE_CHECKING:
    from bentos.fraud.http.gateway import Target

__all__ = ["admit"]

#: What BentoML's application answers of the documentation.
_DOCUMENTS: Final = ("/docs.json", "/schema.json")
_STATIC: Final = "/static_content/"


def admit(
    guard: Guard | None, target: Target, scope: Mapping[str, Any], headers: Mapping[str, str], request_id: str
) -> HttpAnswer | None:
    """Let a request in whose body has not been read, or refuse it; see :meth:`.Guard.admit`."""
    if guard is None:
        return None
    try:
        caller = guard.admit(headers, _need(guard, target, scope))
    except FraudError as error:
        answer = failure if isinstance(target, InferenceCall) else error_answer
        return answer(error, request_id)
    exchange = current_exchange()
    if exchange is not None:
        exchange.caller = caller
    return None


def _need(guard: Guard, target: Target, scope: Mapping[str, Any]) -> Need:
    if isinstance(target, str):
        return guard.need(target)
    if isinstance(target, InferenceCall):
        return guard.need(target.name)
    if target is not None:
        wanted = "GET" if scope["method"] == "HEAD" else scope["method"]
        # Who uses a wrong method is told so when he may use a right one.
        return next((route.role for route, _ in target if route.method == wanted), target[0][0].role)
    path: str = scope["path"]
    return guard.need("docs") if path in _DOCUMENTS or path.startswith(_STATIC) else UNKNOWN_ADDRESS
