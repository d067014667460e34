"""The overview: is the service well, what does it decide, how fast."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import pandas as pd
import streamlit as st

from bentos.core.answers import Health
from bentos.core.errors import FraudError
from dashboard import reads
from dashboard.charts import lines, stacked_decisions
from dashboard.pairs import pairs_of
from dashboard.scrapes import Scrape, Span
from dashboard.session import session
from dashboard.style import page_title
from dashboard.traffic import QUANTILES, failed, from_prometheus, from_scrapes, share
from dashboard.troubles import Trouble, show_trouble, trouble_of
from dashboard.words import percent, plain, seconds

#: The numbers on top are of the last minutes, so that they move, and not with every transaction.
_RECENT: Final = timedelta(minutes=5)
_OF_MINUTES: Final = "Over the last five minutes, or since this page was first opened."


def page() -> None:
    """The page."""
    page_title("Overview", "Traffic, decisions, latency and state of the service.")
    # Looks again by itself; everything that reads stands within.
    st.fragment(_live, run_every=session().settings.dashboard_refresh_seconds)()


@st.cache_data(ttl=5, max_entries=4, show_spinner=False)
def _prometheus(url: str, timeout_seconds: float) -> pd.DataFrame | Trouble:
    try:
        return from_prometheus(url, timeout_seconds)
    except FraudError as error:
        return trouble_of(error)


def _live() -> None:
    here = session()
    health = reads.health(here.service)
    _state(health)
    if isinstance(health, Trouble):
        return
    scrapes = reads.scrapes(here.service, here.settings.dashboard_refresh_seconds / 2)
    if isinstance(scrapes, Trouble):
        show_trouble(scrapes)
        return
    recent = [item for item in scrapes[:-1] if item.time >= scrapes[-1].time - _RECENT]
    span = Span(recent[0] if recent else None, scrapes[-1])
    ever = Span(None, scrapes[-1])
    _numbers(span, ever)
    _charts(_over_time(scrapes))
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown("**Models**")
        st.dataframe(_models(ever, scrapes[-1]), hide_index=True, width="stretch")
        st.caption(
            "Since the server started; precision and recall over labelled predictions of 30 days. A challenger stands"
            " here once it scores through this service, or in its shadow."
        )
    with right:
        st.markdown("**Parts**")
        st.dataframe(_parts(health), hide_index=True, width="stretch")
        st.markdown("**Answers by status**, since the server started")
        st.dataframe(_codes(ever), hide_index=True, width="stretch")


def _state(health: Health | Trouble) -> None:
    if isinstance(health, Trouble):
        show_trouble(health)
        return
    who = f"{plain(health.model.name)} version {plain(health.model.version)}"
    failing = [name for name, state in health.dependencies.items() if state.status != "ok"]
    if health.status == "ok" and not failing:
        st.success(f"Everything works. {who} answers.", icon=":material/check_circle:")
        return
    details = "; ".join(f"{plain(name)} ({plain(health.dependencies[name].detail or 'failing')})" for name in failing)
    st.warning(
        f"**Degraded: {details}.** {who} still answers, with defaults for what it lacks, and says so in each answer.",
        icon=":material/warning:",
    )


def _over_time(scrapes: list[Scrape]) -> pd.DataFrame:
    settings = session().settings
    if settings.dashboard_prometheus_url is None:
        return from_scrapes(scrapes)
    found = _prometheus(settings.dashboard_prometheus_url, settings.dashboard_timeout_seconds)
    if isinstance(found, Trouble):
        show_trouble(found)
        return from_scrapes(scrapes)
    return found


def _numbers(span: Span, ever: Span) -> None:
    decisions = span.decisions()
    everything = sum(decisions.values())
    labels = ever.by("fraud_labels_total", "label")
    alerts = share(decisions["review"] + decisions["block"], everything)
    errors = share(failed(span), span.total("fraud_requests_total"))
    degraded = share(span.total("fraud_degraded_predictions_total"), everything)
    known = share(labels.get("fraud", 0.0), sum(labels.values()))
    running = (ever.gauge("fraud_jobs", state="running") or 0) + (ever.gauge("fraud_jobs", state="pending") or 0)
    numbers = (
        ("Transactions/s", f"{everything / span.seconds:,.1f}" if span.seconds else "–", _OF_MINUTES),
        ("Alert rate", percent(alerts), f"Reviews and blocks among all transactions. {_OF_MINUTES}"),
        ("Fraud of labels", percent(known), "Since the server started. Mostly alerts get a label."),
        *((f"Latency {name}", seconds(span.latency(part)), _OF_MINUTES) for name, part in QUANTILES.items()),
        ("Errors", percent(errors, 2), f"Requests that the service could not answer. {_OF_MINUTES}"),
        ("With defaults", percent(degraded, 2), f"Answers that name something as degraded. {_OF_MINUTES}"),
        ("Rows waiting", f"{ever.gauge('fraud_queue_depth') or 0:.0f}", "In the micro-batcher, now."),
        ("Batch jobs", f"{running:.0f}", "Waiting or running, now."),
        ("Records dropped", f"{ever.total('fraud_log_dropped_total'):,.0f}", "Predictions that were not kept."),
        ("Labels", f"{sum(labels.values()):,.0f}", "New or changed since the server started."),
    )
    columns = [column for _ in range(2) for column in st.columns(6, gap="small")]
    for column, (label, value, text) in zip(columns, numbers, strict=True):
        column.metric(label, value, border=True, help=text)


def _charts(frame: pd.DataFrame) -> None:
    if len(frame) < 2:
        st.info(
            "Lines over time begin with the next looks: without FRAUD_DASHBOARD_PROMETHEUS_URL this page knows what"
            " happened since it was first opened.",
            icon=":material/timeline:",
        )
        return
    scaled = frame.assign(
        **{name: 1000 * frame[name] for name in QUANTILES},
        **{name: 100 * frame[name] for name in ("alerts", "failed", "degraded")},
    )
    first, second, third = st.columns(3, gap="medium")
    first.altair_chart(stacked_decisions(frame), width="stretch")
    second.altair_chart(lines(scaled, {name: name for name in QUANTILES}, "latency, ms", form=".2f"), width="stretch")
    shares = {"alerts": "alerts", "failed": "errors", "degraded": "with defaults"}
    third.altair_chart(lines(scaled, shares, "percent", form=".2f"), width="stretch")


def _models(ever: Span, latest: Scrape) -> pd.DataFrame:
    rows = []
    for role, version in ever.models():
        of = {"role": role, "model_version": version}
        decisions = ever.decisions(**of)
        everything = sum(decisions.values())
        precision, recall = (ever.gauge(f"fraud_label_{name}", **of) for name in ("precision", "recall"))
        rows.append(
            {
                "role": role,
                "version": version,
                "transactions": f"{everything:,.0f}",
                "alert rate": percent(share(decisions["review"] + decisions["block"], everything)),
                "p99": seconds(ever.latency(0.99, **of)),
                "precision": percent(precision, 0),
                "recall": percent(recall, 0),
            }
        )
    for pairs in pairs_of(latest):
        alerts = int(pairs.decisions[["review", "block"]].to_numpy().sum())
        rows.append(
            {
                "role": "challenger in the shadow",
                "version": pairs.challenger,
                "transactions": f"{pairs.count:,}",
                "alert rate": percent(share(alerts, pairs.count)),
                "p99": "–",
                "precision": percent(pairs.quality("challenger").precision, 0),
                "recall": percent(pairs.quality("challenger").recall, 0),
            }
        )
    return pd.DataFrame(rows)


def _parts(health: Health) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"part": name, "state": "✓ ok" if state.status == "ok" else "✗ failing", "detail": state.detail or ""}
            for name, state in health.dependencies.items()
        ]
    )


def _codes(ever: Span) -> pd.DataFrame:
    counted = ever.by("fraud_requests_total", "code")
    return pd.DataFrame([{"status": code, "answers": f"{count:,.0f}"} for code, count in sorted(counted.items())])


page()
