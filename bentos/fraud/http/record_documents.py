"""The OpenAPI document's words about feedback and kept predictions."""

from __future__ import annotations

from typing import Any, Final, get_args

from pydantic import BaseModel

from bentos.core.answers import Decision
from bentos.core.records import (
    Claim,
    ClaimRequest,
    History,
    Label,
    LabelOutcome,
    LabelOutcomes,
    LabelState,
    Predictions,
)
from bentos.fraud.http.problems import JSON, PROBLEM_JSON

__all__ = ["CLAIM", "DEFAULT_LIMIT", "FEEDBACK", "HISTORY", "MAXIMUM_LIMIT", "PREDICTIONS", "schema_of"]

DEFAULT_LIMIT: Final = 50
MAXIMUM_LIMIT: Final = 500


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema that stands for itself: what it refers to is put in its place."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    found: dict[str, Any] = _filled(schema, definitions)
    return found


def _filled(part: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(part, dict):
        if "$ref" in part:
            return _filled(definitions[part["$ref"].rpartition("/")[2]], definitions)
        return {name: _filled(value, definitions) for name, value in part.items()}
    return [_filled(value, definitions) for value in part] if isinstance(part, list) else part


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {JSON: {"schema": schema}}


def _problem(text: str) -> dict[str, Any]:
    return {"description": text, "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def _parameter(name: str, text: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": {"type": "string", **schema}}


_NAME: Final[dict[str, Any]] = {"minLength": 1, "maxLength": 128}
_SCORE: Final[dict[str, Any]] = {"type": "number", "minimum": 0, "maximum": 1}
_INSTANT: Final[dict[str, Any]] = {"format": "date-time"}
_PAGE: Final = [
    _parameter("limit", "How many at most.", type="integer", minimum=1, maximum=MAXIMUM_LIMIT, default=DEFAULT_LIMIT),
    _parameter("cursor", "The next of the answer before; with the same filters.", pattern="^[A-Za-z0-9_-]{22}$"),
    _parameter("features", "Whether feature rows are told.", type="boolean", default=False),
]
_OUTCOME: Final = {"anyOf": [schema_of(LabelOutcome), schema_of(LabelOutcomes)]}

FEEDBACK: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": _content(
            {
                "anyOf": [
                    schema_of(Label),
                    {"type": "array", "items": schema_of(Label), "minItems": 1, "maxItems": 10_000},
                ]
            }
        ),
    },
    "responses": {
        "200": {
            "description": "The label is on disk; of a list, those without a problem of their own are.",
            "content": _content(_OUTCOME),
        },
        "202": {
            "description": "The same, and at least one waits for the prediction of its transaction.",
            "content": _content(_OUTCOME),
        },
    },
}
PREDICTIONS: Final[dict[str, Any]] = {
    "parameters": [
        _parameter("transaction_id", "Of this transaction.", **_NAME),
        _parameter("customer_id", "Of this customer.", **_NAME),
        _parameter("merchant_id", "At this merchant.", **_NAME),
        _parameter("decision", "What was decided; flagged is review or block.", enum=[*get_args(Decision), "flagged"]),
        _parameter("label", "What it turned out to be; none is unknown so far.", enum=list(get_args(LabelState))),
        _parameter("model_version", "By this version of the model.", **_NAME),
        _parameter("since", "Predicted from this instant on, RFC 3339 with an offset.", **_INSTANT),
        _parameter("until", "Predicted before this instant.", **_INSTANT),
        _parameter("score_from", "Score from here.", **_SCORE),
        _parameter("score_to", "Score up to here.", **_SCORE),
        *_PAGE,
    ],
    "responses": {"200": {"description": "One page of them.", "content": _content(schema_of(Predictions))}},
}
HISTORY: Final[dict[str, Any]] = {
    "parameters": _PAGE,
    "responses": {
        "200": {"description": "One page; empty when nothing is known.", "content": _content(schema_of(History))}
    },
}
CLAIM: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": _content(schema_of(ClaimRequest))},
    "responses": {
        "200": {"description": "It is the analyst's.", "content": _content(schema_of(Claim))},
        "404": _problem("No prediction of this transaction is kept."),
        "409": _problem("Another analyst has it; the detail says who, and until when."),
    },
}
