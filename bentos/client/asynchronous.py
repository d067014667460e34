"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from pydantic import SecretStr

from bentos.client.address import parse_address, parse_key
from bentos.client.calls import Calls, Row
from bentos.client.connect import open_async_transport, wire_of
from bentos.client.exchange import AsyncTransport, Attempt, Explain, LabelResult, Reply, RowResult, Steps
from bentos.client.labels import LabelRow
from bentos.client.options import DEFAULT_OPTIONS, ClientOptions
from bentos.core.answers import Explanation, Health, Prediction
from bentos.core.jobs import Job, ResultForm, SourceForm

if TYPE_CHECKING:
    import pandas as pd

    from bentos.core.artifact import ModelCard

__all__ = ["AsyncFraudClient"]

AnswerT = TypeVar("AnswerT")


class AsyncFraudClient:
    """:class:`~bentos.client.FraudClient` for asyncio: same calls, answers and errors.

    Tasks of one event loop may share it. Cancelling a call tells the server to stop.

    Parameters
    ----------
    address, api_key, options
        See :class:`~bentos.client.FraudClient`.
    """

    def __init__(
        self, address: str, *, api_key: SecretStr | str | None = None, options: ClientOptions = DEFAULT_OPTIONS
    ) -> None:
        self._address = parse_address(address)
        self._key = parse_key(api_key)
        self._options = options
        self._calls = Calls(wire_of(self._address), options)
        self._transport: AsyncTransport | None = None
        self._closed = False

    async def predict(
        self,
        transaction: Row,
        *,
        explain: Explain = "flagged",
        record: bool = True,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Prediction:
        """See :meth:`FraudClient.predict <bentos.client.FraudClient.predict>`."""
        return await self._run(self._calls.predict(transaction, explain, record, timeout_seconds, headers))

    async def explain(
        self, transaction: Row, *, timeout_seconds: float | None = None, headers: Mapping[str, str] | None = None
    ) -> Explanation:
        """See :meth:`FraudClient.explain <bentos.client.FraudClient.explain>`."""
        return await self._run(self._calls.explain(transaction, timeout_seconds, headers))

    async def predict_many(
        self,
        rows: Iterable[Row],
        *,
        explain: Explain = "flagged",
        record: bool = True,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> list[RowResult]:
        """See :meth:`FraudClient.predict_many <bentos.client.FraudClient.predict_many>`."""
        return await self._run(self._calls.predict_many(rows, explain, record, timeout_seconds, headers))

    async def predict_frame(
        self,
        frame: pd.DataFrame,
        *,
        explain: Explain = "flagged",
        record: bool = False,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> pd.DataFrame:
        """See :meth:`FraudClient.predict_frame <bentos.client.FraudClient.predict_frame>`."""
        return await self._run(self._calls.predict_frame(frame, explain, record, timeout_seconds, headers))

    async def feedback(
        self,
        labels: Iterable[LabelRow],
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> list[LabelResult]:
        """See :meth:`FraudClient.feedback <bentos.client.FraudClient.feedback>`."""
        return await self._run(self._calls.labels.feedback(labels, timeout_seconds, headers))

    async def predict_batch(
        self,
        source: pd.DataFrame | Path | str,
        *,
        form: SourceForm | None = None,
        explain: Explain = "flagged",
        result_form: ResultForm = "parquet",
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Job:
        """See :meth:`FraudClient.predict_batch <bentos.client.FraudClient.predict_batch>`."""
        return await self._run(
            self._calls.jobs.predict_batch(source, form, explain, result_form, timeout_seconds, headers)
        )

    async def job_status(
        self, job_id: str, *, timeout_seconds: float | None = None, headers: Mapping[str, str] | None = None
    ) -> Job:
        """See :meth:`FraudClient.job_status <bentos.client.FraudClient.job_status>`."""
        return await self._run(self._calls.jobs.job_status(job_id, timeout_seconds, headers))

    async def job_wait(
        self, job_id: str, *, timeout_seconds: float | None = None, headers: Mapping[str, str] | None = None
    ) -> Job:
        """See :meth:`FraudClient.job_wait <bentos.client.FraudClient.job_wait>`."""
        return await self._run(self._calls.jobs.job_wait(job_id, timeout_seconds, headers))

    async def job_result(
        self, job_id: str, *, timeout_seconds: float | None = None, headers: Mapping[str, str] | None = None
    ) -> pd.DataFrame:
        """See :meth:`FraudClient.job_result <bentos.client.FraudClient.job_result>`."""
        return await self._run(self._calls.jobs.job_result(job_id, timeout_seconds, headers))

    async def job_download(
        self,
        job_id: str,
        path: Path,
        *,
        form: ResultForm = "parquet",
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """See :meth:`FraudClient.job_download <bentos.client.FraudClient.job_download>`."""
        await self._run(self._calls.jobs.job_download(job_id, path, form, timeout_seconds, headers))

    async def job_cancel(
        self, job_id: str, *, timeout_seconds: float | None = None, headers: Mapping[str, str] | None = None
    ) -> Job:
        """See :meth:`FraudClient.job_cancel <bentos.client.FraudClient.job_cancel>`."""
        return await self._run(self._calls.jobs.job_cancel(job_id, timeout_seconds, headers))

    async def health(self, *, timeout_seconds: float | None = None) -> Health:
        """See :meth:`FraudClient.health <bentos.client.FraudClient.health>`."""
        return await self._run(self._calls.health(timeout_seconds))

    async def model(self, *, timeout_seconds: float | None = None) -> ModelCard:
        """See :meth:`FraudClient.model <bentos.client.FraudClient.model>`."""
        return await self._run(self._calls.model(timeout_seconds))

    async def aclose(self) -> None:
        """Give the connections back. Calls are refused afterwards."""
        self._closed = True
        if self._transport is not None:
            await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncFraudClient({self._address.text!r})"

    async def _run(self, steps: Steps[AnswerT]) -> AnswerT:
        if self._closed:
            raise RuntimeError("this client is closed")
        if self._transport is None:
            # Not earlier: connections belong to the event loop, and a client may be made before there is one.
            self._transport = open_async_transport(self._address, self._key, self._options)
        reply: Reply | None = None
        try:
            while True:
                step = steps.send(reply)
                if isinstance(step, Attempt):
                    reply = await self._transport.send(step)
                else:
                    await asyncio.sleep(step.seconds)
                    reply = None
        except StopIteration as end:
            answer: AnswerT = end.value
            return answer
