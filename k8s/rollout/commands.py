"""``python -m k8s rollout``."""

from __future__ import annotations

import functools
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bentos.core.errors import ConfigError
from k8s.cluster import Cluster
from k8s.helm import CHART, Helm
from k8s.options import Target, release_option, target_options
from k8s.rollout.needed import Usual, needed
from k8s.rollout.plan import Plan, load_plan
from k8s.rollout.record import ModelRef, Rollout
from k8s.rollout.screen import history_table, needs_table, print_out, rollout_view
from k8s.rollout.start import begin
from k8s.rollout.state import CommandKind, load, request, who

__all__ = ["rollout"]

Command = TypeVar("Command", bound=Callable[..., Any])
_WATCH_SECONDS = 2.0

_output = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="json: one object."
)
_chart = click.option("--chart", default=str(CHART), help="The release's chart.  [default: the one of this code]")
_required_release = click.option("--release", required=True, help="Name of the release.")


def _prometheus(*, required: bool) -> Callable[[Command], Command]:
    return click.option(
        "--prometheus",
        envvar="FRAUD_ROLLOUT_PROMETHEUS",
        required=required,
        help="URL of the Prometheus that scrapes the release; also FRAUD_ROLLOUT_PROMETHEUS.",
    )


@click.group()
def rollout() -> None:
    """Move a release to another model by evidence: shadow, growing weights, promoted or rolled back."""


@rollout.command()
@_required_release
@click.option("--repository", default="", help="Image of the challenger.  [default: the champion's]")
@click.option("--tag", default="", help="Its tag.  [default: the champion's]")
@click.option("--artifact", default="", help="Its artifact below the release's volume.  [default: the image's]")
@click.option("--plan", "plan_file", type=click.Path(path_type=Path), help="YAML of steps, margins, rates.")
@click.option("--name", help="Decides which customers try first.  [default: the time]")
@click.option("--requests-per-second", type=click.FloatRange(min=0, min_open=True), default=100.0, show_default=True)
@click.option("--follow", is_flag=True, help="Be the controller, here, until the rollout has ended.")
@_prometheus(required=False)
@_chart
@target_options
def start(  # noqa: PLR0913, PLR0917 - click hands every option over by name
    release: str,
    repository: str,
    tag: str,
    artifact: str,
    plan_file: Path | None,
    name: str | None,
    requests_per_second: float,
    follow: bool,
    prometheus: str | None,
    chart: str,
    target: Target,
) -> int:
    """Begin a rollout; says before how much data its gates need. The controller is `run`, or `--follow` here."""
    if follow and not prometheus:
        raise ConfigError("--follow looks at counters: give --prometheus URL")
    plan = load_plan(plan_file) if plan_file else Plan()
    print_out(needs_table(needed(plan, Usual(requests_per_second=requests_per_second))))
    cluster = target.connect()
    helm = Helm(cluster.namespace, target.context)
    challenger = ModelRef(repository=repository, tag=tag, artifact=artifact)
    stored = begin(cluster, helm, release, challenger, plan, who(), name)
    current = _current(stored.current)
    print_out(f"rollout {current.name} of {release}: {current.champion.shown} -> {challenger.shown}")
    if not follow or prometheus is None:
        return 0
    return _controlled(cluster, helm, release, chart, prometheus, 0, ends=True)


@rollout.command()
@_required_release
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Of /metrics; 0: none.")
@_prometheus(required=True)
@_chart
@target_options
def run(release: str, port: int, prometheus: str, chart: str, target: Target) -> int:
    """Be the controller of a release: carry out the rollouts that `start` begins."""
    cluster = target.connect()
    return _controlled(cluster, Helm(cluster.namespace, target.context), release, chart, prometheus, port, ends=False)


def _controlled(
    cluster: Cluster, helm: Helm, release: str, chart: str, prometheus: str, port: int, *, ends: bool
) -> int:
    from prometheus_client import CollectorRegistry

    from k8s.rollout.archive import Archive, archive_settings
    from k8s.rollout.serve import make_controller, serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # A line for each question to Prometheus would hide what matters.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = archive_settings()
    archive = Archive(settings, cluster.namespace) if settings else None
    controller = make_controller(cluster, helm, release, chart, prometheus, archive)
    try:
        ended = serve(controller, cluster, CollectorRegistry(), port, ends=ends)
    finally:
        if archive is not None:
            archive.close()
    if ended is None:
        return 0
    print_out(rollout_view(ended))
    return 0 if ended.phase == "promoted" else 1


@rollout.command()
@_output
@release_option
@target_options
def status(output: str, release: str | None, target: Target) -> int:
    """Show the rollout under way, or the last one, with its verdicts."""
    stored = load(target.connect(), release)
    current = _current(stored.current)
    if output == "json":
        click.echo(current.model_dump_json())
    else:
        print_out(rollout_view(current))
    return 0


@rollout.command()
@release_option
@target_options
def watch(release: str | None, target: Target) -> int:
    """Show the rollout again and again until it has ended; exit code 1 when it was not promoted."""
    from rich.live import Live

    cluster = target.connect()
    with Live(auto_refresh=False) as live:
        while True:
            current = _current(load(cluster, release).current)
            live.update(rollout_view(current), refresh=True)
            if current.over:
                return 0 if current.phase == "promoted" else 1
            time.sleep(_WATCH_SECONDS)


@rollout.command()
@click.option("--picture", type=click.Path(path_type=Path), help="Write weights and verdicts of one as .png or .svg.")
@click.option("--name", help="Of the rollout that is drawn.  [default: the last one]")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Most rollouts to show.")
@_output
@release_option
@target_options
def history(
    picture: Path | None, name: str | None, limit: int, output: str, release: str | None, target: Target
) -> int:
    """List what became of rollouts: every change, with its Helm revision, who and why.

    The release's ConfigMap knows the last thirteen; with FRAUD_RECORDS_URL the records are asked too, which know all,
    and every look.
    """
    from k8s.rollout.history import past_rollouts

    found = past_rollouts(target.connect(), release, limit=limit)
    if picture is not None:
        from k8s.rollout.picture import draw

        chosen = next((item for item in found if name in {None, item.name}), None)
        if chosen is None:
            raise ConfigError(f"there is no rollout {name!r}: there is {', '.join(item.name for item in found)}")
        draw(chosen, picture)
    if output == "json":
        click.echo(json.dumps([item.model_dump(mode="json") for item in found]))
    else:
        print_out(history_table(found))
    return 0


def _asking(kind: CommandKind) -> Callable[[Command], Command]:
    def decorated(command: Command) -> Command:
        @functools.wraps(command)
        def ask(why: str, release: str | None, target: Target) -> int:
            cluster = target.connect()
            asked = request(cluster, load(cluster, release), kind, who(), why)
            print_out(f"{kind} of rollout {asked.rollout} is asked for, by {asked.by}; `rollout status` shows it done")
            return 0

        named: Any = ask
        why = click.option("--why", default="", help="Kept in its history.")
        for decorator in (target_options, release_option, why, rollout.command(name=kind)):
            named = decorator(named)
        return named  # type: ignore[no-any-return]

    return decorated


@_asking("pause")
def pause() -> None:
    """Hold the step; a gate that fails rolls back all the same."""


@_asking("resume")
def resume() -> None:
    """Go on, from what the release is now."""


@_asking("promote")
def promote() -> None:
    """Make the challenger the champion now, whatever is still open."""


@_asking("abort")
def abort() -> None:
    """Take the challenger's traffic away at once, then the challenger."""


def _current(found: Rollout | None) -> Rollout:
    if found is None:
        raise ConfigError("the release's ConfigMap of rollouts is empty: `python -m k8s rollout start` begins one")
    return found
