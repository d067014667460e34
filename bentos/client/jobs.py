"""Calls about batch jobs as steps; see :mod:`bentos.client.calls`.

Parameters are those of :class:`bentos.client.FraudClient`, where they are described.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import uuid4

from bentos.client.conversation import converse
from bentos.client.exchange import Exchange, Explain, Pause, Steps, Wire
from bentos.client.headers import call_headers
from bentos.client.options import ClientOptions, check_timeout
from bentos.client.retries import RetryBudget
from bentos.core.errors import FieldError, InvalidInput, Unavailable
from bentos.core.jobs import ENDED, Job, ResultForm, SourceForm

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["JobCalls"]

AnswerT = TypeVar("AnswerT")

_KEY: Final = "idempotency-key"
_FORMS: Final[dict[str, SourceForm]] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
#: Between two looks at a job: short for small ones, and never long enough to matter.
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0


class JobCalls:
    """The calls of one client about jobs. Shared by threads and tasks.

    Parameters
    ----------
    wire, options, budget
        Of the client.
    """

    def __init__(self, wire: Wire, options: ClientOptions, budget: RetryBudget) -> None:
        self._wire = wire
        self._options = options
        self._budget = budget

    def predict_batch(
        self,
        source: pd.DataFrame | Path | str,
        form: SourceForm | None,
        explain: Explain,
        result_form: ResultForm,
        timeout_seconds: float | None,
        headers: Mapping[str, str] | None,
    ) -> Steps[Job]:
        """Hand a job in, under a key that makes trying again harmless."""
        if isinstance(source, str):
            exchange = self._wire.predict_uri(source, form, explain, result_form)
        elif isinstance(source, Path):
            exchange = self._wire.predict_batch(source, form or _form_of(source), explain, result_form)
        else:
            exchange = self._wire.predict_batch(_parquet(source), "parquet", explain, result_form)
        sent = call_headers(headers)
        sent.setdefault(_KEY, uuid4().hex)
        return (yield from self._converse(exchange, sent, timeout_seconds))

    def job_status(self, job_id: str, timeout_seconds: float | None, headers: Mapping[str, str] | None) -> Steps[Job]:
        """State of a job."""
        seconds = self._options.timeout_seconds if timeout_seconds is None else timeout_seconds
        return (yield from self._converse(self._wire.job_status(job_id), call_headers(headers), seconds))

    def job_cancel(self, job_id: str, timeout_seconds: float | None, headers: Mapping[str, str] | None) -> Steps[Job]:
        """Cancel a job."""
        seconds = self._options.timeout_seconds if timeout_seconds is None else timeout_seconds
        return (yield from self._converse(self._wire.job_cancel(job_id), call_headers(headers), seconds))

    def job_wait(self, job_id: str, timeout_seconds: float | None, headers: Mapping[str, str] | None) -> Steps[Job]:
        """Ask for a job until it has ended."""
        until = None if timeout_seconds is None else monotonic() + timeout_seconds
        pause = _FIRST_PAUSE
        while True:
            job = yield from self.job_status(job_id, None, headers)
            if job.status in ENDED:
                return job
            if until is not None and monotonic() + pause > until:
                raise Unavailable(f"the job {job_id} is still {job.status} after {timeout_seconds:g} seconds")
            yield Pause(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)

    def job_result(
        self, job_id: str, timeout_seconds: float | None, headers: Mapping[str, str] | None
    ) -> Steps[pd.DataFrame]:
        """The result as a table."""
        exchange = self._wire.job_result(job_id, "parquet", None)
        body = yield from self._converse(exchange, call_headers(headers), timeout_seconds)
        return _frame(body)

    def job_download(
        self,
        job_id: str,
        path: Path,
        form: ResultForm,
        timeout_seconds: float | None,
        headers: Mapping[str, str] | None,
    ) -> Steps[None]:
        """The result as a file."""
        exchange = self._wire.job_result(job_id, form, path)
        yield from self._converse(exchange, call_headers(headers), timeout_seconds)

    def _converse(
        self, exchange: Exchange[AnswerT], headers: Mapping[str, str], timeout_seconds: float | None
    ) -> Steps[AnswerT]:
        seconds = self._options.many_timeout_seconds if timeout_seconds is None else timeout_seconds
        check_timeout(seconds, "timeout_seconds")
        return converse(exchange, headers, seconds, self._options, self._budget)


def _form_of(path: Path) -> SourceForm:
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        names = ", ".join(_FORMS)
        raise InvalidInput([FieldError("form", f"{path.name} ends in none of {names}; say which form it has")])
    return form


def _parquet(frame: pd.DataFrame) -> bytes:
    file = BytesIO()
    frame.to_parquet(file, index=False)
    return file.getvalue()


def _frame(body: bytes) -> pd.DataFrame:
    import json

    import pandas as pd

    frame = pd.read_parquet(BytesIO(body))
    reasons = [json.loads(text) if isinstance(text, str) else None for text in frame["reasons"]]
    return frame.assign(reasons=pd.Series(reasons, frame.index, dtype="object"))
