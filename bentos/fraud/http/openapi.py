"""What BentoML's OpenAPI document leaves out: query parameters, and how errors really look."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, get_args

from bentos.core.answers import Health, Problem
from bentos.fraud.http.endpoints import ROUTES
from bentos.fraud.http.openapi_security import add_security
from bentos.fraud.http.problems import JSON, PROBLEM_JSON
from bentos.fraud.http.routes import Route
from bentos.fraud.options import DEFAULT_OPTIONS, Explain
from bentos.fraud.predictor import MAXIMUM_ROWS

__all__ = ["completed"]

_ABOUT: Final = "Scores card transactions for fraud, and says why. Errors are problem documents (RFC 9457)."
_PREFIX: Final = "#/components/schemas/"
_REQUEST_ID: Final[dict[str, Any]] = {
    "name": "x-request-id",
    "in": "header",
    "description": "Names the request in answers and logs; made when absent.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
}
_EXPLAIN: Final[dict[str, Any]] = {
    "name": "explain",
    "in": "query",
    "description": "Which answers get reasons: none, those that are not approved, or all.",
    "schema": {"type": "string", "enum": list(get_args(Explain)), "default": DEFAULT_OPTIONS.explain},
}
_RECORD: Final[dict[str, Any]] = {
    "name": "record",
    "in": "query",
    "description": "Whether the transaction becomes part of the history behind later features, and counts as a"
    " prediction in metrics.",
    "schema": {"type": "boolean", "default": DEFAULT_OPTIONS.record},
}
_DEADLINE: Final[dict[str, Any]] = {
    "name": "x-fraud-deadline-ms",
    "in": "header",
    "description": "Milliseconds that the caller waits: what cannot be done by then is refused at once with 429, and"
    " reasons that would be later are null.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 600_000},
}
_PARAMETERS: Final = {
    "/predict": [_EXPLAIN, _RECORD, _DEADLINE, _REQUEST_ID],
    "/explain": [_DEADLINE, _REQUEST_ID],
    "/predict_many": [_EXPLAIN, _RECORD, _DEADLINE, _REQUEST_ID],
}
_RETRY_AFTER: Final[dict[str, Any]] = {
    "retry-after": {"description": "Seconds after which to try again.", "schema": {"type": "integer", "minimum": 1}}
}
_CALL_ERRORS: Final = (
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_PAGES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "/health": (
        "State of the service and of each thing it needs.",
        {JSON: {"schema": {"$ref": f"{_PREFIX}Health"}}},
    ),
    "/model": ("The model card.", {JSON: {"schema": {"type": "object"}}}),
    "/metrics": ("Metrics of all workers, for Prometheus.", {"text/plain": {"schema": {"type": "string"}}}),
    "/livez": ("Answers as long as the worker does.", {"text/plain": {"schema": {"type": "string"}}}),
    "/readyz": ("Answers when the worker can predict.", {"text/plain": {"schema": {"type": "string"}}}),
}


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """BentoML's document with the calls' parameters, their errors, and the pages that are not calls.

    Parameters
    ----------
    document
        As ``bentoml.Service.openapi_spec`` gives it; changed in place.
    """
    document["info"] = {"title": "fraud_detector", "version": document["info"]["version"], "description": _ABOUT}
    paths, schemas = document["paths"], document["components"]["schemas"]
    for path, parameters in _PARAMETERS.items():
        operation = paths[path]["post"]
        operation["parameters"] = parameters
        operation["requestBody"]["required"] = True
        # A marker of BentoML's clients, which read it elsewhere; OpenAPI does not know it.
        operation["requestBody"]["content"][JSON]["schema"].pop("root_input", None)
        operation["responses"] = {
            str(HTTPStatus.OK.value): operation["responses"][HTTPStatus.OK.value],
            **{str(status.value): _problem_response(status) for status in _CALL_ERRORS},
        }
    many = paths["/predict_many"]["post"]["requestBody"]["content"][JSON]["schema"]
    many["properties"]["transactions"] |= {"minItems": 1, "maxItems": MAXIMUM_ROWS}
    many["additionalProperties"] = False
    for path, (description, content) in _PAGES.items():
        response = {"description": description, "content": content}
        paths[path] = {"get": {"description": description, "tags": ["Infrastructure"], "responses": {"200": response}}}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    for model in (Problem, Health):
        schema = model.model_json_schema(ref_template=_PREFIX + "{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    add_security(document, ROUTES)
    return document


def _operation(route: Route) -> dict[str, Any]:
    operation = {"summary": route.summary, "operationId": route.name, "tags": ["Service APIs"], **route.openapi}
    responses = operation.pop("responses", {str(route.status.value): {"description": route.status.phrase}})
    errors = [status for status in _CALL_ERRORS if str(status.value) not in responses]
    operation["responses"] = responses | {str(status.value): _problem_response(status) for status in errors}
    places = [segment[1:-1] for segment in route.path.split("/") if segment.startswith("{")]
    operation["parameters"] = [
        *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in places),
        *operation.get("parameters", ()),
        _REQUEST_ID,
    ]
    return operation


def _problem_response(status: HTTPStatus) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": status.phrase,
        "content": {PROBLEM_JSON: {"schema": {"$ref": f"{_PREFIX}Problem"}}},
    }
    return response | {"headers": _RETRY_AFTER} if status == HTTPStatus.TOO_MANY_REQUESTS else response
