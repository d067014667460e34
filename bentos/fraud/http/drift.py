"""The call that tells of drift."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from anyio.to_thread import run_sync

from bentos.core.drift import DriftState
from bentos.fraud.drift.state import drift_state
from bentos.fraud.http.problems import JSON, HttpAnswer
from bentos.fraud.http.record_documents import schema_of
from bentos.fraud.http.routes import HttpRequest, Route
from bentos.fraud.options import no_options

__all__ = ["ROUTES"]


async def _drift(request: HttpRequest) -> HttpAnswer:
    no_options(request.parameters)
    application = request.endpoints.application
    counts, model = application.predictor.metrics.drift, application.predictor.scorer.model
    # Reads the files of all workers.
    state = await run_sync(lambda: drift_state(counts, model, application.settings.drift_minimum_rows))
    return HttpAnswer(HTTPStatus.OK, state.model_dump_json().encode(), headers={"cache-control": "no-store"})


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET",
        "/drift",
        "drift",
        "feedback",
        _drift,
        "How far the payments of the last hour, day and week are from training: indices and distributions.",
        {"responses": {"200": {"description": "Drift.", "content": {JSON: {"schema": schema_of(DriftState)}}}}},
    ),
)
