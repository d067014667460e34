"""How callers say who they are, in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from bentos.fraud.access.roles import CALL_ROLES
from bentos.fraud.http.problems import PROBLEM_JSON
from bentos.fraud.http.routes import Route

__all__ = ["add_security"]

_SCHEMES: Final[dict[str, Any]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, or a JSON web token where the server takes them.",
    },
    "api_key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "An API key."},
}
#: A server on its own machine may ask nobody: the empty one.
_WAYS: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"api_key": []}, {}]
_CHALLENGE: Final[dict[str, Any]] = {
    "www-authenticate": {"description": "How to say who one is.", "schema": {"type": "string"}}
}
_REFUSALS: Final[dict[HTTPStatus, dict[str, Any]]] = {
    HTTPStatus.UNAUTHORIZED: {"headers": _CHALLENGE},
    HTTPStatus.FORBIDDEN: {},
}


def add_security(document: dict[str, Any], routes: Sequence[Route]) -> None:
    """Name the ways in, and for each operation its role and the refusals of who has it not.

    Parameters
    ----------
    document
        With all operations, and the schema ``Problem``; changed in place.
    routes
        Beyond the calls of scoring.
    """
    document["components"]["securitySchemes"] = _SCHEMES
    roles = {(route.path, route.method.lower()): route.role for route in routes}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            role = roles.get((path, method), CALL_ROLES.get(path.removeprefix("/"), "none"))
            if role == "none":
                continue
            operation["security"] = _WAYS
            operation["x-role"] = role
            for status, more in _REFUSALS.items():
                problem = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
                response = {"description": status.phrase, "content": problem, **more}
                operation["responses"].setdefault(str(status.value), response)
