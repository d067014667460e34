"""Calls as JSON, answers and problem documents read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from pydantic import ValidationError
from pydantic_core import to_json

from bentos.client.exchange import Exchange, Explain, Failure, LabelResult, RowResult
from bentos.client.faults import BY_HTTP, made
from bentos.core.answers import Explanation, Health, ManyPredictions, Prediction, Problem, ProblemField, RowProblem
from bentos.core.errors import FieldError, FraudError, Overloaded
from bentos.core.jobs import Job, ResultForm, SourceForm
from bentos.core.records import Label, LabelOutcomes
from bentos.core.transaction import Transaction

if TYPE_CHECKING:
    from bentos.core.artifact import ModelCard

__all__ = ["HttpWire", "failure_of"]

_RETRYABLE: Final = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}

_CONTENT_TYPES: Final[dict[SourceForm, str]] = {
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "jsonl": "application/x-ndjson",
}


class HttpWire:
    """Calls in the form of HTTP. Members of answers that a newer server adds are ignored."""

    def predict(self, transaction: Transaction, explain: Explain, record: bool) -> Exchange[Prediction]:
        return Exchange(f"/predict{_query(explain, record)}", _json(transaction), _prediction)

    def explain(self, transaction: Transaction) -> Exchange[Explanation]:
        return Exchange("/explain", _json(transaction), _explanation)

    def predict_many(
        self, transactions: Sequence[Transaction], explain: Explain, record: bool
    ) -> Exchange[list[RowResult]]:
        body = b'{"transactions":[' + b",".join(map(_json, transactions)) + b"]}"
        return Exchange(f"/predict_many{_query(explain, record)}", body, _results)

    def feedback(self, labels: Sequence[Label]) -> Exchange[list[LabelResult]]:
        body = b"[" + b",".join(label.model_dump_json(exclude_none=True).encode() for label in labels) + b"]"
        return Exchange("/feedback", body, _outcomes)

    def health(self) -> Exchange[Health]:
        return Exchange("/health", None, _health)

    def model(self) -> Exchange[ModelCard]:
        return Exchange("/model", None, _model_card)

    def predict_batch(
        self, payload: bytes | Path, form: SourceForm, explain: Explain, result_form: ResultForm
    ) -> Exchange[Job]:
        target = f"/predict_batch?explain={explain}&format={result_form}"
        return Exchange(target, payload, _job, _CONTENT_TYPES[form])

    def predict_uri(
        self, uri: str, form: SourceForm | None, explain: Explain, result_form: ResultForm
    ) -> Exchange[Job]:
        named = {"uri": uri} if form is None else {"uri": uri, "format": form}
        return Exchange(f"/predict_batch?explain={explain}&format={result_form}", to_json(named), _job)

    def job_status(self, job_id: str) -> Exchange[Job]:
        return Exchange(f"/job_status/{quote(job_id, safe='')}", None, _job)

    def job_cancel(self, job_id: str) -> Exchange[Job]:
        return Exchange(f"/job_cancel/{quote(job_id, safe='')}", b"", _job)

    def job_result(self, job_id: str, form: ResultForm, save_to: Path | None) -> Exchange[bytes]:
        return Exchange(f"/job_result/{quote(job_id, safe='')}?format={form}", None, bytes, save_to=save_to)


def failure_of(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """What a response means that is no answer."""
    problem = _problem(body)
    detail = problem.detail if problem else f"the server answered {_status_text(status)}"
    kind = BY_HTTP.get(status, FraudError)
    retry_after = _seconds(headers.get("retry-after", ""))
    if status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None:
        kind = Overloaded
    error = made(kind, detail, _fields(problem.errors if problem else None), retry_after)
    return Failure(error, status in _RETRYABLE, retry_after_seconds=retry_after or 0)


def _json(transaction: Transaction) -> bytes:
    return transaction.model_dump_json(exclude_none=True).encode()


def _query(explain: Explain, record: bool) -> str:
    return f"?explain={explain}&record={'true' if record else 'false'}"


def _prediction(body: bytes) -> Prediction:
    return Prediction.model_validate_json(body, extra="ignore")


def _explanation(body: bytes) -> Explanation:
    return Explanation.model_validate_json(body, extra="ignore")


def _health(body: bytes) -> Health:
    return Health.model_validate_json(body, extra="ignore")


def _job(body: bytes) -> Job:
    return Job.model_validate_json(body, extra="ignore")


def _model_card(body: bytes) -> ModelCard:
    from bentos.core.artifact import ModelCard

    return ModelCard.model_validate_json(body, extra="ignore")


def _results(body: bytes) -> list[RowResult]:
    results = ManyPredictions.model_validate_json(body, extra="ignore").results
    return [_row_error(result) if isinstance(result, RowProblem) else result for result in results]


def _outcomes(body: bytes) -> list[LabelResult]:
    results = LabelOutcomes.model_validate_json(body, extra="ignore").results
    return [_row_error(result) if isinstance(result, RowProblem) else result for result in results]


def _row_error(problem: RowProblem) -> FraudError:
    return made(BY_HTTP.get(problem.status, FraudError), problem.detail, _fields(problem.errors))


def _fields(errors: Sequence[ProblemField] | None) -> list[FieldError]:
    return [FieldError(error.path, error.message) for error in errors or ()]


def _problem(body: bytes) -> Problem | None:
    try:
        return Problem.model_validate_json(body, extra="ignore")
    except ValidationError:
        # A gateway's own page.
        return None


def _status_text(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _seconds(retry_after: str) -> int | None:
    """Seconds of a Retry-After, which is a number or a date (RFC 9110, section 10.2.3); None when it is neither."""
    if retry_after.isascii() and retry_after.isdecimal():
        return int(retry_after[:9])
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0, ceil((date - datetime.now(UTC)).total_seconds()))
