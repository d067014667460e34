"""Reads of the service that several reruns share.

A failure is kept in the place of an answer, as long as an answer would be: a page that is touched while the service is
down does not wait for it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from bentos.core.answers import Explanation, Health, Prediction
from bentos.core.drift import DriftState
from bentos.core.errors import FraudError
from bentos.core.jobs import Job
from bentos.core.records import History, KeptPrediction
from bentos.core.transaction import Transaction
from dashboard.scrapes import Scrape, Trail
from dashboard.service import Service
from dashboard.troubles import Trouble, trouble_of

if TYPE_CHECKING:
    from bentos.core.artifact import ModelCard

__all__ = [
    "drift",
    "explanation",
    "health",
    "history",
    "job",
    "model_card",
    "predictions",
    "scored_rows",
    "scores",
    "scrapes",
]

#: Predictions that the service tells at once, at most.
_PAGE_ROWS: Final = 500
_SERVICE: Final[dict[str | type[Any], Callable[[Any], Any]]] = {Service: lambda service: (id(service), service.url)}


@st.cache_data(ttl=5, show_spinner=False, hash_funcs=_SERVICE)
def health(service: Service) -> Health | Trouble:
    """State of the service."""
    try:
        return service.client.health()
    except FraudError as error:
        return trouble_of(error)


@st.cache_data(ttl=30, show_spinner=False, hash_funcs=_SERVICE)
def model_card(service: Service) -> ModelCard | Trouble:
    """The card of the model that answers."""
    try:
        return service.client.model()
    except FraudError as error:
        return trouble_of(error)


@st.cache_data(ttl=60, max_entries=200, show_spinner=False, hash_funcs=_SERVICE)
def explanation(service: Service, transaction_json: str) -> Explanation | Trouble:
    """One score taken apart. Records nothing."""
    try:
        return service.client.explain(Transaction.model_validate_json(transaction_json))
    except FraudError as error:
        return trouble_of(error)


@st.cache_data(ttl=60, max_entries=200, show_spinner=False, hash_funcs=_SERVICE)
def scores(service: Service, transactions_json: tuple[str, ...]) -> list[float | None] | Trouble:
    """Scores of variants of a transaction, None where one cannot be scored. Records nothing."""
    rows = [Transaction.model_validate_json(text) for text in transactions_json]
    try:
        results = service.client.predict_many(rows, explain="none", record=False, timeout_seconds=10)
    except FraudError as error:
        return trouble_of(error)
    return [result.score if isinstance(result, Prediction) else None for result in results]


@st.cache_data(ttl=3, max_entries=50, show_spinner=False, hash_funcs=_SERVICE)
def predictions(
    service: Service, filters: tuple[tuple[str, str], ...], pages: int = 1
) -> list[KeptPrediction] | Trouble:
    """Kept predictions, the newest first, at most 500 a page."""
    return _kept(service, dict(filters), pages)


def _kept(service: Service, filters: Mapping[str, str], pages: int) -> list[KeptPrediction] | Trouble:
    found: list[KeptPrediction] = []
    chosen: dict[str, str | int | float] = {**filters, "limit": _PAGE_ROWS}
    try:
        for _ in range(pages):
            page = service.predictions(**chosen)
            found += page.predictions
            if page.next is None:
                break
            chosen["cursor"] = page.next
    except FraudError as error:
        return trouble_of(error)
    return found


@st.cache_data(ttl=10, max_entries=200, show_spinner=False, hash_funcs=_SERVICE)
def history(service: Service, customer_id: str) -> History | Trouble:
    """A customer's predicted transactions, the newest first."""
    try:
        return service.history(customer_id)
    except FraudError as error:
        return trouble_of(error)


@st.cache_data(ttl=0.5, max_entries=50, show_spinner=False, hash_funcs=_SERVICE)
def job(service: Service, job_id: str) -> Job | Trouble:
    """State of a batch job."""
    try:
        return service.client.job_status(job_id)
    except FraudError as error:
        return trouble_of(error)


@st.cache_data(ttl=15, max_entries=4, show_spinner=False, hash_funcs=_SERVICE)
def drift(service: Service) -> DriftState | Trouble:
    """How far payments are from training."""
    try:
        return service.drift()
    except FraudError as error:
        return trouble_of(error)


@st.cache_data(ttl=60, max_entries=4, show_spinner=False, hash_funcs=_SERVICE)
def scored_rows(service: Service, pages: int) -> list[KeptPrediction] | Trouble:
    """The newest kept predictions with their feature rows, at most 500 a page."""
    return _kept(service, {"features": "true"}, pages)


@st.cache_resource(show_spinner=False, max_entries=4)
def _trail(url: str, pause_seconds: float, _service: Service) -> Trail:  # noqa: ARG001 - the address tells trails apart
    return Trail(_service, pause_seconds)


def scrapes(service: Service, pause_seconds: float) -> list[Scrape] | Trouble:
    """The service's metrics at the moments at which somebody looked, the newest last, at least one."""
    try:
        return _trail(service.url, pause_seconds, service).scrapes()
    except FraudError as error:
        return trouble_of(error)
