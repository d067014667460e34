"""Dashboards of Grafana: rows of panels, placed one after the other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

__all__ = ["Dashboard", "Panel", "Query", "dashboard_text"]

_SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
_COLUMNS: Final = 24
#: Of Grafana's JSON, 12.
_SCHEMA_VERSION: Final = 41
#: In place of what a query is restricted to.
_SCOPE: Final = "SCOPE"
_SELECTED: Final = 'namespace="$namespace",release="$release"'

#: As Grafana calls them.
Unit: TypeAlias = Literal["short", "reqps", "s", "percentunit", "bytes", "none"]


@dataclass(frozen=True)
class Query:
    """One line, or several, of a panel.

    Parameters
    ----------
    expression
        In PromQL; SCOPE stands for the labels that the reader chose.
    legend
        A template of Grafana.
    """

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """A picture.

    Parameters
    ----------
    title
        The question that it answers.
    unit
        Of all its values.
    queries
        What it shows.
    kind
        Lines over time, the last value in large, or the last value of each series as a bar.
    width, height
        Of 24 columns, and in rows of 30 pixels.
    limit
        From where on values are red; None knows none.
    """

    title: str
    unit: Unit
    queries: tuple[Query, ...]
    kind: Literal["timeseries", "stat", "bargauge"] = "timeseries"
    width: int = 8
    height: int = 8
    limit: float | None = None


@dataclass(frozen=True)
class Dashboard:
    """A page of panels.

    Parameters
    ----------
    uid
        Its name in addresses, and of its file.
    title
        Its name for people.
    since
        What it shows first, such as "1h".
    panels
        In reading order.
    """

    uid: str
    title: str
    since: str
    panels: tuple[Panel, ...]


def dashboard_text(dashboard: Dashboard) -> str:
    """A dashboard in Grafana's JSON."""
    document = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["fraud"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": False,
        "timezone": "browser",
        "refresh": "15s",
        "time": {"from": f"now-{dashboard.since}", "to": "now"},
        "links": [{"title": "Fraud", "type": "dashboards", "tags": ["fraud"], "keepTime": True, "includeVars": True}],
        "templating": {
            "list": [
                _variable("namespace", 'label_values(up{job="fraud-scoring"}, namespace)'),
                _variable("release", 'label_values(up{job="fraud-scoring",namespace="$namespace"}, release)'),
            ]
        },
        "panels": _placed(dashboard.panels),
    }
    return json.dumps(document, indent=2) + "\n"


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
    }


def _placed(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    placed, column, row, tallest = [], 0, 0, 0
    for number, panel in enumerate(panels, start=1):
        if column + panel.width > _COLUMNS:
            column, row, tallest = 0, row + tallest, 0
        place = {"x": column, "y": row, "w": panel.width, "h": panel.height}
        placed.append({"id": number, "gridPos": place, **_document(panel)})
        column, tallest = column + panel.width, max(tallest, panel.height)
    return placed


def _document(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    custom = {"custom": {"thresholdsStyle": {"mode": "line"}}} if panel.limit and panel.kind == "timeseries" else {}
    return {
        "title": panel.title,
        "type": panel.kind,
        "datasource": _SOURCE,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
                **custom,
            },
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "expr": query.expression.replace(_SCOPE, _SELECTED),
                "legendFormat": query.legend,
                "datasource": _SOURCE,
            }
            for number, query in enumerate(panel.queries)
        ],
    }
