"""The OpenAPI document's words about batch jobs."""

from __future__ import annotations

from typing import Any, Final, get_args

from bentos.core.jobs import Job, ResultForm, SourceForm
from bentos.fraud.http.problems import JSON, PROBLEM_JSON
from bentos.fraud.options import DEFAULT_OPTIONS, Explain

__all__ = ["JOB_CANCEL", "JOB_RESULT", "JOB_STATUS", "PREDICT_BATCH"]

_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
_JOB: Final[dict[str, Any]] = {JSON: {"schema": Job.model_json_schema()}}
_EXPLAIN: Final[dict[str, Any]] = {
    "name": "explain",
    "in": "query",
    "description": "Which rows get reasons: none, those that are not approved, or all.",
    "schema": {"type": "string", "enum": list(get_args(Explain)), "default": DEFAULT_OPTIONS.explain},
}
_KEY: Final[dict[str, Any]] = {
    "name": "idempotency-key",
    "in": "header",
    "description": "The same key is the same job: a call that was sent again makes no second one.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_URI: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "uri": {"type": "string", "description": "Below one of the places that FRAUD_JOB_SOURCES names."},
        "format": {
            "type": "string",
            "enum": list(get_args(SourceForm)),
            "description": "Of the file; by default what the end of its name says.",
        },
    },
    "required": ["uri"],
    "additionalProperties": False,
}
_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"file": {"type": "string", "format": "binary", "description": "Named .csv, .parquet or .jsonl."}},
    "required": ["file"],
}


def _format(text: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "enum": list(get_args(ResultForm))}
    return {"name": "format", "in": "query", "description": text, "schema": schema}


def _problem(text: str) -> dict[str, Any]:
    return {"description": text, "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


_UNKNOWN: Final = {"404": _problem("There is no such job, or no longer.")}

PREDICT_BATCH: Final[dict[str, Any]] = {
    "parameters": [_EXPLAIN, _format("Of the result when who asks for it does not say; parquet by default."), _KEY],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "text/csv": _BINARY,
            "application/vnd.apache.parquet": _BINARY,
            "application/x-ndjson": _BINARY,
            JSON: {"schema": _URI},
        },
    },
    "responses": {
        "202": {
            "description": "The job is accepted, and survives whatever happens to the server.",
            "content": _JOB,
            "headers": {
                "location": {"description": "Where to ask for its state.", "schema": {"type": "string"}},
            },
        },
        "408": _problem("The body did not come in time, or its client fell silent in the middle of it."),
    },
}
JOB_STATUS: Final[dict[str, Any]] = {"responses": {"200": {"description": "The job.", "content": _JOB}} | _UNKNOWN}
JOB_RESULT: Final[dict[str, Any]] = {
    "parameters": [_format("Of the result; by default what the job was given.")],
    "responses": {
        "200": {
            "description": "The input's columns, then score, decision, reasons, error, model_version.",
            "content": {"application/vnd.apache.parquet": _BINARY, "text/csv": {"schema": {"type": "string"}}},
        },
        "409": _problem("The job has not completed; the detail names its state."),
        "410": _problem("The result was kept for its time, and is gone."),
    }
    | _UNKNOWN,
}
JOB_CANCEL: Final[dict[str, Any]] = {
    "responses": {
        "200": {"description": "The job, which is cancelled.", "content": _JOB},
        "409": _problem("The job has ended otherwise."),
    }
    | _UNKNOWN,
}
