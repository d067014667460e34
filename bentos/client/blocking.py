"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from pydantic import SecretStr

from bentos.client.address import parse_address, parse_key
from bentos.client.calls import Calls, Row
from bentos.client.connect import open_transport, wire_of
from bentos.client.exchange import Attempt, Explain, LabelResult, Reply, RowResult, Steps
from bentos.client.labels import LabelRow
from bentos.client.options import DEFAULT_OPTIONS, ClientOptions
from bentos.core.answers import Explanation, Health, Prediction
from bentos.core.jobs import Job, ResultForm, SourceForm

if TYPE_CHECKING:
    import pandas as pd

    from bentos.core.artifact import ModelCard

__all__ = ["FraudClient"]

AnswerT = TypeVar("AnswerT")


class FraudClient:
    """Client of a scoring service. Threads may share it: one for a process is enough, and keeps connections open.

    Every call may raise, with the request id in the message:

    - :class:`~bentos.core.errors.InvalidInput` with the wrong fields; mostly before anything is sent;
    - :class:`~bentos.core.errors.Overloaded` with ``retry_after_seconds``;
    - :class:`~bentos.core.errors.Unavailable` when the server cannot be reached, cannot score, or has not answered in
      time (then it may have, or may still: ask again with the same transaction_id, and it counts once);
    - :class:`~bentos.core.errors.Unauthenticated`, :class:`~bentos.core.errors.NotAllowed`;
    - :class:`~bentos.core.errors.FraudError` for what the server did not expect.

    What may pass is tried again within the deadline: overloads, lost connections, 502, 503 and 504.

    Parameters
    ----------
    address
        ``http://``, ``https://``, ``grpc://`` or ``grpcs://``, host and port; chooses the transport.
    api_key
        Sent as ``Authorization: Bearer``. Never logged nor shown.
    options
        Deadlines, retries, connections.

    Raises
    ------
    ConfigError
        When address or key cannot be used.
    """

    def __init__(
        self, address: str, *, api_key: SecretStr | str | None = None, options: ClientOptions = DEFAULT_OPTIONS
    ) -> None:
        self._address = parse_address(address)
        self._calls = Calls(wire_of(self._address), options)
        self._transport = open_transport(self._address, parse_key(api_key), options)
        self._closed = False

    def predict(
        self,
        transaction: Row,
        *,
        explain: Explain = "flagged",
        record: bool = True,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Prediction:
        """Score one transaction.

        Parameters
        ----------
        transaction
            A Transaction or its fields. Without a ``transaction_id`` it gets one, which the answer holds: a repeated
            id counts once, so that trying again does no harm.
        explain
            Which answers get reasons: none, those that are not approved, or all.
        record
            Whether it becomes part of the history that later features are made from.
        timeout_seconds
            Deadline of the call with its retries, known to the server; None means the options'.
        headers
            Sent along, such as ``traceparent``; ``x-request-id`` is made when it is not among them.
        """
        return self._run(self._calls.predict(transaction, explain, record, timeout_seconds, headers))

    def explain(
        self, transaction: Row, *, timeout_seconds: float | None = None, headers: Mapping[str, str] | None = None
    ) -> Explanation:
        """Take the score of one transaction apart: every feature and its contribution. Records nothing."""
        return self._run(self._calls.explain(transaction, timeout_seconds, headers))

    def predict_many(
        self,
        rows: Iterable[Row],
        *,
        explain: Explain = "flagged",
        record: bool = True,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> list[RowResult]:
        """Score many transactions, in calls of up to 10,000.

        Parameters
        ----------
        rows
            In time order, so that a later one sees the earlier.
        explain, record, headers
            See :meth:`predict`.
        timeout_seconds
            Deadline of each call.

        Returns
        -------
        list
            For each row, in order, its prediction or its own error; the paths of wrong fields are the row's.
        """
        return self._run(self._calls.predict_many(rows, explain, record, timeout_seconds, headers))

    def predict_frame(
        self,
        frame: pd.DataFrame,
        *,
        explain: Explain = "flagged",
        record: bool = False,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> pd.DataFrame:
        """Score a table of transactions, in calls of up to 10,000 rows.

        Parameters
        ----------
        frame
            A column for each field; those of optional fields may be missing. Labels and ``utc_offset_seconds`` of the
            product's own tables are understood, any other column is refused.
        explain, headers
            See :meth:`predict`.
        record
            As for :meth:`predict`, but off: a study of old transactions must not change the features of new ones.
        timeout_seconds
            Deadline of each call.

        Returns
        -------
        DataFrame
            The frame with its index, ``transaction_id`` filled in, and ``score`` (float64, NaN for a bad row),
            ``decision``, ``reasons`` (lists of dicts), ``error`` (missing for a good row), ``model_version``.
        """
        return self._run(self._calls.predict_frame(frame, explain, record, timeout_seconds, headers))

    def feedback(
        self,
        labels: Iterable[LabelRow],
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> list[LabelResult]:
        """Tell what transactions turned out to be, in calls of up to 1,000 labels.

        Parameters
        ----------
        labels
            Labels or their fields, in the order in which they count. A label that comes again changes nothing, so that
            trying again does no harm.
        timeout_seconds
            Deadline of each call; None means the options' for many.
        headers
            See :meth:`predict`.

        Returns
        -------
        list
            For each label, in order, what became of it, on disk by then, or its own error.
        """
        return self._run(self._calls.labels.feedback(labels, timeout_seconds, headers))

    def predict_batch(
        self,
        source: pd.DataFrame | Path | str,
        *,
        form: SourceForm | None = None,
        explain: Explain = "flagged",
        result_form: ResultForm = "parquet",
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Job:
        """Hand in a file to be scored in the background. Over HTTP only, like all calls about jobs. Records nothing.

        Parameters
        ----------
        source
            A table; a file of this machine (a ``Path``), sent as it is; or a URI (text) of a place that the server may
            read.
        form
            Of the file; None means what the end of its name says.
        explain
            See :meth:`predict`.
        result_form
            Of the result when who asks for it does not say.
        timeout_seconds
            Deadline of the call with its retries; None means the options' for many.
        headers
            See :meth:`predict`. ``idempotency-key`` is made when it is not among them: a call that is tried again makes
            no second job.
        """
        return self._run(self._calls.jobs.predict_batch(source, form, explain, result_form, timeout_seconds, headers))

    def job_status(
        self, job_id: str, *, timeout_seconds: float | None = None, headers: Mapping[str, str] | None = None
    ) -> Job:
        """State of a job. Raises :class:`~bentos.core.errors.NotFound`."""
        return self._run(self._calls.jobs.job_status(job_id, timeout_seconds, headers))

    def job_wait(
        self, job_id: str, *, timeout_seconds: float | None = None, headers: Mapping[str, str] | None = None
    ) -> Job:
        """Wait until a job has ended, however it did.

        Parameters
        ----------
        job_id
            The job.
        timeout_seconds
            Longest wait; :class:`~bentos.core.errors.Unavailable` is raised then. None waits as long as it takes.
        headers
            See :meth:`predict`.
        """
        return self._run(self._calls.jobs.job_wait(job_id, timeout_seconds, headers))

    def job_result(
        self, job_id: str, *, timeout_seconds: float | None = None, headers: Mapping[str, str] | None = None
    ) -> pd.DataFrame:
        """Result of a completed job as a table: a row for each of the input, in order.

        Its columns, and those of :meth:`predict_frame`. Needs pyarrow. Raises :class:`~bentos.core.errors.Conflict` as
        long as there is none, and :class:`~bentos.core.errors.Expired` when it was kept for its time.
        """
        return self._run(self._calls.jobs.job_result(job_id, timeout_seconds, headers))

    def job_download(
        self,
        job_id: str,
        path: Path,
        *,
        form: ResultForm = "parquet",
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Result of a completed job as a file, there as a whole or not at all. Raises as :meth:`job_result`."""
        self._run(self._calls.jobs.job_download(job_id, path, form, timeout_seconds, headers))

    def job_cancel(
        self, job_id: str, *, timeout_seconds: float | None = None, headers: Mapping[str, str] | None = None
    ) -> Job:
        """Cancel a job. Raises :class:`~bentos.core.errors.Conflict` when it has ended otherwise."""
        return self._run(self._calls.jobs.job_cancel(job_id, timeout_seconds, headers))

    def health(self, *, timeout_seconds: float | None = None) -> Health:
        """State of the service and of what it needs. Over HTTP only."""
        return self._run(self._calls.health(timeout_seconds))

    def model(self, *, timeout_seconds: float | None = None) -> ModelCard:
        """The card of the model that answers. Over HTTP only."""
        return self._run(self._calls.model(timeout_seconds))

    def close(self) -> None:
        """Give the connections back. Calls are refused afterwards."""
        self._closed = True
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"FraudClient({self._address.text!r})"

    def _run(self, steps: Steps[AnswerT]) -> AnswerT:
        if self._closed:
            raise RuntimeError("this client is closed")
        reply: Reply | None = None
        try:
            while True:
                step = steps.send(reply)
                if isinstance(step, Attempt):
                    reply = self._transport.send(step)
                else:
                    time.sleep(step.seconds)
                    reply = None
        except StopIteration as end:
            answer: AnswerT = end.value
            return answer
