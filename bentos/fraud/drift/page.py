"""The drift report as one HTML file that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import pairwise
from math import isnan
from typing import Final

import numpy as np

from bentos.core.artifact.categories import Categories
from bentos.core.artifact.distributions import Histogram
from bentos.core.drift import MERCHANT_CATEGORY
from bentos.fraud.drift.drift import Drift
from bentos.fraud.drift.report import Report

__all__ = ["page"]

_STYLE: Final = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1c2430}
h1{margin-bottom:0}h2{margin-top:2.2rem}p.lead{font-size:1.1rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .5rem;text-align:right;border-bottom:1px solid #e3e7ec;font-weight:400}
th:first-child,td:first-child{text-align:left}thead th{color:#5a6675;font-size:.8rem}
.bad{color:#a4161a;font-weight:600}.muted{color:#5a6675}
.wide{overflow-x:auto}.charts{display:flex;flex-wrap:wrap;gap:1.2rem}figure{margin:0}figcaption{font-size:.85rem}
.key span{display:inline-block;width:.8rem;height:.8rem;margin:0 .3rem 0 1rem;vertical-align:-.1rem}
"""
_TRAINING: Final = "#9aa7b5"
_NOW: Final = "#1f6feb"
_MOST_CHARTS: Final = 8
_WIDTH: Final = 280
_HEIGHT: Final = 120


def page(report: Report) -> str:
    """The file's content."""
    title = f"Drift of {report.model.name} {report.model.version}"
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>{''.join(_parts(report))}</body></html>\n"
    )


def _parts(report: Report) -> Iterator[str]:
    if not report.days:
        yield "<p class='lead'>There are no recorded predictions of this version in this time.</p>"
        return
    days = list(report.days)
    rows = sum(day.rows for day in report.days.values())
    yield f"<p class='muted'>{rows:,} predictions, {days[0]} to {days[-1]} (UTC), against the rows of training.</p>"
    yield f"<p class='lead'>{_verdict(report)}</p>"
    if MERCHANT_CATEGORY not in report.layout.names:
        yield "<p class='muted'>Merchant categories are not compared: this version's artifact was made before training "
        yield "kept their shares.</p>"
    yield "<h2>Distributions</h2><p class='key muted'>"
    yield f"<span style='background:{_TRAINING}'></span>training<span style='background:{_NOW}'></span>these days</p>"
    yield f"<div class='charts'>{''.join(_charts(report))}</div>"
    yield "<h2>Stability index by day</h2><p class='muted'>As a multiple of each one's limit; above 1 it has drifted. "
    yield "A dash: too few predictions, or a part of the week that a day cannot show.</p>"
    yield f"<div class='wide'>{_by_day(report)}</div>"
    yield f"<h2>Traffic</h2><div class='wide'>{_traffic(report)}</div>"
    yield "<h2>Quality by labels</h2><p class='muted'>Of predictions of these days, by what is known of them today. "
    yield "Labels come in for weeks: later periods know less.</p>"
    yield f"<div class='wide'>{_quality(report)}</div>"


def _verdict(report: Report) -> str:
    if None not in report.drift:
        return "There are too few predictions to say anything."
    found = report.drifted
    if not found:
        return "Nothing has drifted beyond its limit."
    told = ", ".join(f"<b>{escape(one.name)}</b> ({one.psi:.2f}, limit {one.limit:.2f})" for one in found)
    return f"<span class='bad'>Drifted:</span> {told}."


def _charts(report: Report) -> Iterator[str]:
    whole = report.drift.get(None, {})
    ranked = sorted(whole.values(), key=lambda one: one.psi / one.limit, reverse=True)
    for one in [*(one for one in ranked if one.name == "score"), *(one for one in ranked if one.name != "score")][
        :_MOST_CHARTS
    ]:
        yield _chart(report, one)


def _chart(report: Report, one: Drift) -> str:
    counts = np.sum([day.counts for day in report.days.values()], axis=0)
    now = report.layout.histogram(counts, one.name)
    bins = _bins(report.layout.reference(one.name))
    shares = np.array([report.layout.expected(counts, one.name), now], dtype=float)
    shares /= shares.sum(axis=1, keepdims=True)
    step, top = _WIDTH / shares.shape[1], shares.max()
    bars = "".join(
        f"<rect x='{place * step + side * step * 0.42 + step * 0.08:.1f}' y='{_HEIGHT * (1 - share / top):.1f}'"
        f" width='{step * 0.4:.1f}' height='{_HEIGHT * share / top:.1f}' fill='{colour}'>"
        f"<title>{escape(bins[place])}: {share:.1%}</title></rect>"
        for side, colour in ((0, _TRAINING), (1, _NOW))
        for place, share in enumerate(shares[side])
    )
    ends = (
        f"<text x='0' y='{_HEIGHT + 14}'>{escape(bins[0])}</text>"
        f"<text x='{_WIDTH}' y='{_HEIGHT + 14}' text-anchor='end'>{escape(bins[-1])}</text>"
        if len(bins) > 1
        else ""
    )
    state = "bad" if one.drifted else "muted"
    return (
        f"<figure><figcaption>{escape(one.name)} <span class='{state}'>{one.psi:.3f}</span></figcaption>"
        f"<svg width='{_WIDTH}' height='{_HEIGHT + 18}' font-size='11' fill='#5a6675' role='img'"
        f" aria-label='distribution of {escape(one.name)}'>{bars}{ends}</svg></figure>"
    )


def _bins(reference: Histogram | Categories) -> list[str]:
    """Each bin in words."""
    if isinstance(reference, Categories):
        return [*reference.names, "all others"]
    if not reference.edges:
        return ["all"]
    bounds = [f"{edge:.4g}" for edge in reference.edges]
    return [f"≤ {bounds[0]}", *(f"{low} to {high}" for low, high in pairwise(bounds)), f"> {bounds[-1]}"]


def _by_day(report: Report) -> str:
    days = [day for day in report.days if day in report.drift]
    head = "".join(f"<th>{day:%d %b}</th>" for day in days)
    lines = [_line(name, [report.drift[day].get(name) for day in days]) for name in report.layout.names]
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _line(name: str, found: list[Drift | None]) -> str:
    cells = "".join("<td class='muted'>–</td>" if one is None else _cell(one.psi / one.limit) for one in found)
    return f"<tr><td>{escape(name)}</td>{cells}</tr>"


def _cell(times: float) -> str:
    # From white to red at twice the limit.
    red = min(times / 2, 1.0)
    state = " class='bad'" if times > 1 else ""
    return f"<td{state} style='background:rgba(220,53,69,{red * 0.55:.2f})'>{times:.2f}</td>"


def _traffic(report: Report) -> str:
    lines = "".join(
        f"<tr><td>{day}</td><td>{found.rows:,}</td><td>{found.alerts:,}</td>"
        f"<td>{found.alerts / found.rows:.2%}</td></tr>"
        for day, found in report.days.items()
    )
    head = "<tr><th>day</th><th>predictions</th><th>reviewed or blocked</th><th>share</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{lines}</tbody></table>"


def _quality(report: Report) -> str:
    lines = "".join(
        f"<tr><td>{period.first} to {period.last}</td><td>{escape(model.name)} {escape(model.version)}"
        f" ({escape(model.role)})</td><td>{quality.labelled:,}</td><td>{quality.frauds:,}</td>"
        f"<td>{_share(quality.precision)}</td><td>{_share(quality.recall)}</td></tr>"
        for period in report.periods
        for model, quality in period.quality.items()
    )
    if not lines:
        return "<p>No labels have come in.</p>"
    head = "<tr><th>made</th><th>by</th><th>labelled</th><th>frauds</th><th>precision</th><th>recall</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{lines}</tbody></table>"


def _share(share: float) -> str:
    return "–" if isnan(share) else f"{share:.1%}"
