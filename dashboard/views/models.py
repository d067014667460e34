"""Registered versions side by side: quality, thresholds and costs, where they come from, promotion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

import altair as alt
import pandas as pd
import streamlit as st

from bentos.core.errors import FraudError
from dashboard.charts import Picture, lines
from dashboard.cut import Costs, Cuts, Outcome, calibration, precision_recall
from dashboard.promotion import show_promotion, version_name
from dashboard.registry import Details, ModelVersion, Registry, open_registry
from dashboard.session import session
from dashboard.settings import DashboardSettings
from dashboard.style import INK, NEUTRAL, SERIES, page_title
from dashboard.troubles import Trouble, show_trouble, trouble_of
from dashboard.words import amount, percent, plain

_METRICS: Final = {
    "average_precision": "AP ↑",
    "roc_auc": "ROC AUC ↑",
    "card_precision_at_k": "CP@k ↑",
    "brier": "Brier ↓",
    "calibration_error": "calibration error ↓",
}
_PICTURES: Final = ("contributions", "roc", "scores", "decisions", "costs")


def page() -> None:
    """The page."""
    page_title("Models", "Registered versions side by side, what their thresholds cost, and promotion.")
    settings = session().settings
    with st.spinner("Asking MLflow"):
        versions = _versions(settings.mlflow_tracking_uri, str(settings.home.resolve()), settings)
    if isinstance(versions, Trouble):
        show_trouble(versions)
        return
    if not versions:
        st.info(
            "No model is registered here. This page needs MLflow: set MLFLOW_TRACKING_URI to its server, or FRAUD_HOME"
            " to the folder that `python -m training` wrote to. The other pages work without.",
            icon=":material/model_training:",
        )
        return
    _table(versions)
    chosen = _chosen(versions)
    details = {version.number: _details(settings, version) for version in chosen}
    failed = next((found for found in details.values() if isinstance(found, Trouble)), None)
    if failed is not None:
        show_trouble(failed)
        return
    known = {number: found for number, found in details.items() if isinstance(found, Details)}
    quality, cost, why, lineage, promotion = st.tabs(
        ["Quality", "Thresholds and cost", "Reasons and pictures", "Lineage", "Promote"]
    )
    with quality:
        _quality(known)
    with cost:
        _explorer(known)
    with why:
        _pictures(known)
    with lineage:
        _lineage(chosen, known)
    with promotion:
        show_promotion(versions, _versions.clear)


@st.cache_resource(show_spinner=False, max_entries=4)
def _registry(uri: str | None, home: str, _settings: DashboardSettings) -> Registry | None:  # noqa: ARG001
    return open_registry(_settings)


@st.cache_data(ttl=15, max_entries=4, show_spinner=False)
def _versions(uri: str | None, home: str, _settings: DashboardSettings) -> list[ModelVersion] | Trouble:
    try:
        registry = _registry(uri, home, _settings)
        if registry is None:
            _registry.clear()  # it may come with the first training
            return []
        return registry.versions()
    except FraudError as error:
        return trouble_of(error)


@st.cache_data(ttl=3600, max_entries=20, show_spinner="Reading what training logged")
def _logged(uri: str | None, home: str, run_id: str, _settings: DashboardSettings) -> Details:
    registry = _registry(uri, home, _settings)
    assert registry is not None, "there are versions, so there is a registry"  # noqa: S101
    return registry.details(run_id)


def _details(settings: DashboardSettings, version: ModelVersion) -> Details | Trouble:
    try:
        return _logged(settings.mlflow_tracking_uri, str(settings.home.resolve()), version.run_id, settings)
    except FraudError as error:
        return trouble_of(error)


def _table(versions: Sequence[ModelVersion]) -> None:
    rows = [
        {
            "version": item.number,
            "alias": ", ".join(item.aliases),
            "kind": item.tags.get("fraud.kind", ""),
            **{label: item.metric(name) for name, label in _METRICS.items()},
            "train against test": item.tags.get("fraud.overfitting", ""),
            "made (UTC)": item.created.replace(tzinfo=None),
            "commit": item.tags.get("fraud.code_version", "")[:8],
            "data": item.tags.get("fraud.data_hash", "")[:8],
        }
        for item in versions
    ]
    columns = {label: st.column_config.NumberColumn(format="%.4f") for label in _METRICS.values()}
    height = min(250, 38 + 35 * len(rows))
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", height=height, column_config=columns)


def _chosen(versions: Sequence[ModelVersion]) -> list[ModelVersion]:
    champion = [item for item in versions if "champion" in item.aliases]
    others = [item for item in versions if "champion" not in item.aliases]
    default = [*champion, *others][:2]
    chosen = st.multiselect("Side by side", versions, default=default, format_func=version_name, max_selections=4)
    return chosen or default


def _quality(known: dict[str, Details]) -> None:
    left, right = st.columns(2, gap="large")
    curves = [precision_recall(found.held_out).assign(version=f"version {number}") for number, found in known.items()]
    with left:
        st.markdown("**Precision and recall** on held-out transactions")
        st.altair_chart(_by_version(pd.concat(curves), "recall", "precision", len(known)), width="stretch")
    promised = [calibration(found.held_out).assign(version=f"version {number}") for number, found in known.items()]
    with right:
        st.markdown("**Calibration**: promised against found")
        chart = _by_version(pd.concat(promised), "promised", "found", len(known), points=True)
        st.altair_chart(chart, width="stretch")
    names = sorted({name for found in known.values() for name in found.evaluation["summary"]})
    table = pd.DataFrame(
        {f"version {number}": _intervals(found, names) for number, found in known.items()}, index=names
    )
    st.dataframe(table.rename_axis("metric").reset_index(), hide_index=True, width="stretch")
    splits = {str(found.evaluation["split"]) for found in known.values()}
    st.caption(
        f"Split: {plain('; '.join(sorted(splits)))}. Intervals as training computed them, over folds or customers."
        + ("" if len(splits) == 1 else " Versions of different splits cannot be compared by these numbers.")
    )


def _intervals(found: Details, names: Sequence[str]) -> list[str]:
    summary = found.evaluation["summary"]
    return [_interval(summary[name]) if name in summary else "–" for name in names]


def _interval(value: Any) -> str:
    mean = "–" if value["mean"] is None else f"{value['mean']:.4f}"
    return mean if value.get("low") is None else f"{mean}  ({value['low']:.4f} – {value['high']:.4f})"


def _by_version(frame: pd.DataFrame, x: str, y: str, count: int, *, points: bool = False) -> Picture:
    limit = 1.0 if not points else max(0.05, float(frame[[x, y]].to_numpy().max()) * 1.05)
    scale = alt.Scale(domain=[0, limit])
    colours = alt.Color(
        "version:N", scale=alt.Scale(range=list(SERIES[:count])), title=None, legend=alt.Legend(orient="top")
    )
    encoded = {"x": alt.X(f"{x}:Q", scale=scale), "y": alt.Y(f"{y}:Q", scale=scale), "color": colours}
    line = alt.Chart(frame).mark_line(point=points, strokeWidth=2).encode(**encoded, order=f"{x}:Q")
    if not points:
        return alt.layer(line).properties(height=300)
    ends = pd.DataFrame({x: [0, limit], y: [0, limit]})
    ideal = alt.Chart(ends).mark_line(strokeDash=[4, 3], color=NEUTRAL).encode(x=f"{x}:Q", y=f"{y}:Q")
    return alt.layer(ideal, line).properties(height=300)


@st.fragment
def _explorer(known: dict[str, Details]) -> None:
    number = st.segmented_control(
        "Version",
        list(known),
        default=next(iter(known)),
        required=True,
        key="explored",
        format_func="version {}".format,
    )
    found = known[number or next(iter(known))]
    trained = found.evaluation["thresholds"]
    logged = {field.name: float(trained["costs"][field.name]) for field in fields(Costs)}
    first, second, third, fourth, fifth, sixth = st.columns(6)
    block = second.slider("Block from", 0.0, 1.0, float(trained["block"]), 0.005, key=f"block_{number}", format="%.3f")
    review = first.slider(
        "Review from", 0.0, 1.0, float(trained["review"]), 0.005, key=f"review_{number}", format="%.3f"
    )
    help_text = "As training assumed it; move it to see what follows."
    costs = Costs(
        third.number_input("Lost share", 0.0, 10.0, logged["missed_share"], 0.1, key=f"lost_{number}", help=help_text),
        fourth.number_input("A review costs", 0.0, None, logged["review"], 1.0, key=f"cost_{number}", help=help_text),
        fifth.number_input("A wrong block", 0.0, None, logged["blocked_customer"], 5.0, key=f"wrong_{number}"),
        sixth.number_input("Reviewer misses", 0.0, 1.0, logged["review_misses"], 0.05, key=f"misses_{number}"),
    )
    if review > block:
        st.info("Reviews begin above blocks: nothing is reviewed.", icon=":material/info:")
    cuts = Cuts(found.held_out)
    here = cuts.outcome(review, block, costs)
    before = cuts.outcome(float(trained["review"]), float(trained["block"]), costs)
    _outcomes(here, before)
    curve = cuts.curve(block, costs)
    mark = pd.DataFrame({"review": [review]})
    chart = lines(curve, {"cost": "cost per 1,000 transactions"}, "cost", x="review:Q", form=",.0f")
    rule = alt.Chart(mark).mark_rule(color=INK, strokeWidth=1.5).encode(x="review:Q")
    st.altair_chart(alt.layer(chart, rule), width="stretch")
    st.caption(
        f"{here.rows:,} held-out transactions. The line: cost by where reviews begin, with blocks from {block:.3f} on."
        " Thresholds are part of the artifact: to serve others, train with other costs."
    )


def _outcomes(here: Outcome, before: Outcome) -> None:
    scale = 1000 / max(1, here.rows)
    change = scale * (here.cost - before.cost)
    values = (
        ("Cost per 1,000", amount(scale * here.cost), f"{change:+,.2f}" if abs(change) >= 0.005 else None, "inverse"),
        ("Alert rate", percent(here.alert_rate), _change(here.alert_rate, before.alert_rate), "off"),
        ("Frauds found", percent(here.recall), _change(here.recall, before.recall), "normal"),
        ("Alerts that are fraud", percent(here.precision), _change(here.precision, before.precision), "normal"),
        ("Frauds let pass", f"{here.approved_frauds:,}", None, "off"),
        ("Good ones blocked", f"{here.blocked - here.blocked_frauds:,}", None, "off"),
    )
    for column, (label, value, delta, colour) in zip(st.columns(len(values)), values, strict=True):
        column.metric(label, value, delta=delta, delta_color=colour, border=True)  # type: ignore[arg-type]


def _change(here: float, before: float) -> str | None:
    return f"{100 * (here - before):+.1f} points" if abs(here - before) >= 0.0005 else None


def _pictures(known: dict[str, Details]) -> None:
    for column, (number, found) in zip(st.columns(len(known), gap="large"), known.items(), strict=True):
        with column:
            st.markdown(f"**Version {plain(number)}**")
            for name in _PICTURES:
                if name in found.pictures:
                    st.image(found.pictures[name], width="stretch")


def _lineage(chosen: Sequence[ModelVersion], known: dict[str, Details]) -> None:
    for column, version in zip(st.columns(len(chosen), gap="large"), chosen, strict=True):
        tags = version.tags
        facts = {
            "run": version.run_id,
            "data": tags.get("fraud.data_hash", ""),
            "code": tags.get("fraud.code_version", ""),
            "feature schema": tags.get("fraud.feature_schema", ""),
            "artifact": tags.get("fraud.artifact_digest", ""),
            "split": tags.get("fraud.split", ""),
            **{
                key.removeprefix("fraud."): value for key, value in tags.items() if "promot" in key or "replaced" in key
            },
            **{f"package {name}": value for name, value in json.loads(tags.get("fraud.packages", "{}")).items()},
            **known[version.number].parameters,
        }
        with column:
            st.markdown(f"**{plain(version_name(version)).capitalize()}**")
            table = pd.DataFrame({"what": list(facts), "value": [str(value) for value in facts.values()]})
            st.dataframe(table, hide_index=True, width="stretch", height=460)


page()
