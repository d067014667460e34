"""``python -m k8s release``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
from rich.console import Console

from bentos.core.commands import terminable
from bentos.core.errors import ConfigError
from bentos.core.settings import TrainingSettings, load_settings
from k8s.helm import Helm
from k8s.options import Target, target_options
from k8s.release.flow import Outcome, Releaser
from k8s.release.image import ImageMaker, prefix_of
from k8s.release.notes import Notes
from k8s.release.registry import open_registry
from k8s.rollout.plan import Plan, load_plan

__all__ = ["release"]


@click.command()
@click.option("--release", "name", required=True, help="Name of the release that is moved.")
@click.option("--prefix", default="", help="Registry and folder of the image.  [default: the release's]")
@click.option("--push", is_flag=True, help="Push the image there.")
@click.option("--load-command", default="", help="Brings an image onto the nodes, as `kind load docker-image`.")
@click.option("--plan", "plan_file", type=click.Path(path_type=Path), help="YAML of the rollout's steps and margins.")
@click.option("--verdicts-url", default="", help="Put before the rollout's name, the link that the version gets.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Stay until the rollout has ended.")
@click.option("--finish", is_flag=True, help="Only note what has ended; begin nothing.")
@click.option("--allow-none", is_flag=True, help="It is no error that no version is challenger.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@target_options
def release(  # noqa: PLR0913, PLR0917 - click hands every option over by name
    name: str,
    prefix: str,
    push: bool,
    load_command: str,
    plan_file: Path | None,
    verdicts_url: str,
    wait: bool,
    finish: bool,
    allow_none: bool,
    dry_run: bool,
    output: str,
    target: Target,
) -> int:
    """Bring the model version with the alias challenger to customers, by evidence.

    Training's acceptance rule is asked, the version's bento and image are built, once, and a rollout begins, which its
    controller carries out. At its end the alias champion moves to the version, or challenger is taken from it; its
    tags tell result, reason and where the verdicts are. Killed anywhere and called again, it goes on: a rollout that
    is under way is followed, an image that is there is not built.

    Exit code 0: promoted, or begun with --no-wait. 1: rolled back or aborted. 2: an error, or a version that may not be
    released. The registry is MLFLOW_TRACKING_URI's; it runs in a checkout, with the extras serve, train and k8s.

    \b
    python -m k8s release --release fraud --push
    python -m k8s release --release fraud --load-command 'kind load docker-image' --dry-run
    """
    if finish and dry_run:
        raise click.UsageError("--finish builds and begins nothing: leave --dry-run out")
    # Progress stands beside the answer, so that either can be kept.
    console = Console(stderr=output == "json", highlight=False, soft_wrap=True)
    settings = load_settings(TrainingSettings)
    plan = load_plan(plan_file) if plan_file else Plan()
    registry = open_registry(settings)
    cluster = target.connect()
    helm = Helm(cluster.namespace, target.context)
    notes = Notes(registry, cluster.namespace, verdicts_url)
    releaser = Releaser(registry, notes, cluster, helm, name, plan, lambda text: console.print(text, markup=False))

    def maker() -> ImageMaker:
        return ImageMaker(prefix or prefix_of(helm.values(name)), push, load_command, settings.home.resolve())

    if not finish:
        _require_way(push, load_command)
    try:
        with terminable():
            if finish:
                outcome = releaser.finish()
            elif dry_run:
                outcome = releaser.planned(maker)
            else:
                outcome = releaser.run(maker, wait=wait, none_is_fine=allow_none)
    except KeyboardInterrupt:
        click.echo("stopped; a rollout that has begun goes on: the same command follows it again", err=True)
        return 130
    return _answer(outcome, output)


def _require_way(push: bool, load_command: str) -> None:
    if not push and not load_command:
        raise ConfigError("the cluster has to get the image: give --push, or --load-command COMMAND")


def _answer(outcome: Outcome, output: str) -> int:
    if output == "json":
        click.echo(json.dumps(dataclasses.asdict(outcome)))
    elif outcome.result in {"running", "nothing"}:
        place = f"rollout {outcome.rollout} of version {outcome.version}: " if outcome.rollout else ""
        click.echo(f"{place}{outcome.result}: {outcome.reason}")
    return 1 if outcome.result in {"rolled_back", "aborted"} else 0
