"""The page of what was measured, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.cluster.rows import Seen
from tests.benchmarks.cluster.sending import CONNECTIONS, LATE_MILLISECONDS

__all__ = ["PAGE", "write_page"]

PAGE: Final = Path(__file__).parents[3] / "docs" / "cluster_load.md"
_HEAD: Final = """\
# On a cluster under load

Made by `python -m tests.benchmarks.cluster --install`, then with `--write`: the local profile on a node of one machine,
whose cores the load generator, the gateway, Redis, PostgreSQL and the cluster itself share. Latencies are those of such
a machine; compare within this page only.
"""
_METHOD: Final = f"""\
## How it is measured

- Requests are sent from within the cluster's network, {CONNECTIONS} connections of each protocol, at constant
  intervals, whatever became of the earlier ones (`tests/benchmarks/load/generator.c`): HTTP and gRPC at once, through
  the gateway (Traefik, Gateway API) unless it says otherwise. Connections stay open for the whole row.
- Nothing is tried again. Failed is whatever is not answered with a score: refused, cut off, another status, no answer
  for 10 s. A call's deadline is {LATE_MILLISECONDS} ms; late is what comes later. A change is repeated until enough was
  sent.
- The client with retries is `bentos.client` with its default options: at most two retries, within a deadline of 1 s.
- Labels and jobs are sent until they are acknowledged; afterwards each is looked for in PostgreSQL.
- Ready: from the container's start to the pod's condition; the cluster tells whole seconds. Memory is
  the pod's after the requests by which capacity was found; the working set holds files' pages that were read, too.
"""


def write_page(told: Mapping[str, Any]) -> None:
    """Write docs/cluster_load.md."""
    PAGE.write_text("\n".join(_lines(told)).rstrip() + "\n")


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    yield _HEAD
    yield from (f"- {name}: {text}" for name, text in told["about"].items())
    yield "\n## A release\n\n| | |\n|---|---|"
    if "install" in told:
        install = told["install"]
        seconds = install["until_test_passes_seconds"]
        yield f"| `helm install` of the local profile until `helm test` has passed | {seconds} s |"
        yield f"| its pods | {', '.join(install['pods'])} |"
    if "pod" in told:
        pod = told["pod"]
        yield f"| scoring image | {pod['image_bytes'] / 1e6:.0f} MB |"
        yield f"| pod ready after its container's start | {pod['ready_seconds']:.0f} s |"
        memory = f"{pod['resident_bytes'] / 1e6:.0f} MB, {pod['working_set_bytes'] / 1e6:.0f} MB"
        yield f"| its memory: resident, working set | {memory} |"
    yield (
        "| one pod answers, through the gateway | "
        + ", ".join(f"{rate:,} {protocol} requests/s" for protocol, rate in told["capacities"].items())
        + " |"
    )
    rates = ", ".join(f"{rate:,.0f} {protocol} requests/s" for protocol, rate in told["rates"].items())
    share = sum(rate / told["capacities"][protocol] for protocol, rate in told["rates"].items())
    yield f"\n## Changes under load\n\n{rates}, both at once: {share:.0%} of what one pod answers.\n"
    yield "| | protocol | sent | failed | late | p50 | p99 | p99.9 | longest, ms | |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, seen in told["rows"].items():
        yield from _rows(name, seen, _other_rates(told, name))
    yield "\n" + _METHOD


def _other_rates(told: Mapping[str, Any], name: str) -> Mapping[str, float]:
    rates: Mapping[str, float] = told.get("row_rates", {}).get(name, told["rates"])
    return {} if rates == told["rates"] else rates


def _rows(name: str, seen: Seen, rates: Mapping[str, float]) -> Iterator[str]:
    for client, one in seen.items():
        if "labels" in one:
            lost = f"{one['lost_labels']} labels, {one['lost_jobs']} jobs lost"
            yield f"| {name} | {client} | {one['labels']:,} labels, {one['jobs']} jobs | {lost} | | | | | | |"
            continue
        failed = sum(one["failed"].values())
        why = ", ".join(f"{count} {status}" for status, count in one["failed"].items())
        notes = [f"{one['times']} times"] if one.get("times", 0) > 1 else []
        if "out_seconds" in one:
            notes = [f"more pods after {one['out_seconds']} s of load, one again {one['back_seconds']} s after it"]
        if client in rates:
            notes.append(f"at {rates[client]:.0f} requests/s")
        times = " | ".join(f"{one[key]:,.1f}" for key in ("p50_ms", "p99_ms", "p999_ms", "maximum_ms"))
        lost = f"{failed} ({why})" if why else "0"
        yield f"| {name} | {client} | {one['sent']:,} | {lost} | {one['late']} | {times} | {', '.join(notes)} |"
