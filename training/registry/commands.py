"""`python -m training register`, `accept`, `promote`, `models`, `export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from training.evaluate.split_options import SplitChoice, split_options

if TYPE_CHECKING:
    from training.registry.acceptance import Verdict

__all__ = ["accept", "export", "models", "promote", "register"]


@click.command()
@click.argument("artifact", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--features",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Feature table to measure the artifact on, Parquet.",
)
@click.option("--snapshot", type=click.Path(path_type=Path), help="Feature snapshot that a bento of it carries.")
@split_options
def register(artifact: Path, features: Path, snapshot: Path | None, split: SplitChoice) -> None:
    """Register an ARTIFACT that was exported elsewhere, as challenger.

    Trainings register themselves; this is for artifacts from another machine, or what `export` wrote. The card gets
    its new version.
    """
    from bentos.core.settings import TrainingSettings, load_settings
    from training.registry.register import register_artifact

    settings = load_settings(TrainingSettings)
    from training.features_file import read_features

    table = read_features(features)
    if (artifact / "artifact").is_dir():  # what `export` wrote
        beside = artifact / "snapshot"
        artifact, snapshot = artifact / "artifact", snapshot or (beside if beside.is_dir() else None)
    done = register_artifact(settings, artifact, table, split.folds_of(table), split=split.words, snapshot=snapshot)
    click.echo(f"{done.name} version {done.version}, run {done.run_id}, artifact {done.artifact_digest[:12]}")


@click.command()
@click.argument("version", required=False)
@click.option("--note/--no-note", default=True, show_default=True, help="Note the answer with the version.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def accept(version: str | None, note: bool, as_json: bool) -> int:
    """Say whether the rule lets a VERSION (default: the challenger) become champion; exit code 1 when not.

    It is the rule of `promote`; nobody becomes champion by it.
    """
    from rich.console import Console

    from bentos.core.settings import TrainingSettings, load_settings
    from training.registry.promotion import accept as run

    with Console(stderr=True).status("comparing with the champion"):
        done = run(load_settings(TrainingSettings), version, note=note)
    if as_json:
        answer = {
            "version": done.version.number,
            "champion": done.champion.number if done.champion else None,
            "accepted": done.verdict.accepted,
            "findings": _findings(done.verdict),
        }
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        _show_findings(done.verdict)
        may = "may" if done.verdict.accepted else "may not"
        click.echo(f"version {done.version.number} {may} become champion")
    return 0 if done.verdict.accepted else 1


def _findings(verdict: Verdict) -> list[dict[str, str | bool]]:
    return [{"name": item.name, "passed": item.passed, "text": item.text} for item in verdict.findings]


def _show_findings(verdict: Verdict) -> None:
    from rich.console import Console

    for item in verdict.findings:
        mark = f"[{'green' if item.passed else 'red'}]{'ok' if item.passed else 'no'}[/]"
        Console().print(f"{mark}  {item.name}: {item.text}")


@click.command()
@click.argument("version", required=False)
@click.option("--force", is_flag=True, help="Promote against the rule; needs --reason.")
@click.option("--reason", default="", help="Kept with the version: why it was promoted.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def promote(version: str | None, force: bool, reason: str, as_json: bool) -> None:
    """Make a VERSION champion (default: the challenger) when the acceptance rule lets it.

    The rule: the feature schema is the one that is served, train against test did not fail, and on the challenger's
    held-out rows, on which the champion is scored too, average precision, Brier score and calibration are not worse
    beyond a margin. A first champion must be better than chance by a floor. The files are then placed at
    $FRAUD_HOME/champion, where `bentoml serve` finds them.
    """
    from rich.console import Console

    from bentos.core.settings import TrainingSettings, load_settings
    from training.registry.promotion import promote as run

    with Console(stderr=True).status("comparing with the champion"):
        done = run(load_settings(TrainingSettings), version, force=force, reason=reason)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "version": done.version.number,
                    "before": done.before.number if done.before else None,
                    "forced": done.forced,
                    "folder": str(done.folder),
                    "findings": _findings(done.verdict),
                },
                indent=2,
                ensure_ascii=False,
            )
        )
        return
    _show_findings(done.verdict)
    before = f", before it version {done.before.number}" if done.before else ", the first"
    how = " against the rule" if done.forced else ""
    Console().print(f"version {done.version.number} is champion{how}{before}; its files are in {done.folder}")


@click.command()
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Most versions to show.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(limit: int, as_json: bool) -> None:
    """List registered versions, the newest first, with aliases and metrics."""
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.table import Table

    from bentos.core.settings import TrainingSettings, load_settings
    from training.registry.champion import placed_version
    from training.registry.client import connect
    from training.registry.versions import list_versions

    connection = connect(load_settings(TrainingSettings))
    versions = list_versions(connection)
    if as_json:
        rows = [
            {"version": item.number, "run_id": item.run_id, "aliases": list(item.aliases), "tags": dict(item.tags)}
            for item in versions[:limit]
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    console = Console()
    if not versions:
        console.print(f"no model is registered in {connection.uri} yet: run `python -m training train`")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    shown = {"average_precision": "AP ↑", "roc_auc": "ROC AUC ↑", "card_precision_at_k": "CP@k ↑", "brier": "Brier ↓"}
    for column in ("version", "alias", "kind", *shown.values(), "split", "made (UTC)", "commit", "data"):
        table.add_column(column, justify="right" if column in shown.values() else "left")
    for item in versions[:limit]:
        made = datetime.fromtimestamp(item.created_ms / 1000, UTC)
        table.add_row(
            item.number,
            ", ".join(item.aliases),
            item.tags.get("fraud.kind", ""),
            *(f"{item.metric(name):.4f}" for name in shown),
            item.tags.get("fraud.split", ""),
            f"{made:%Y-%m-%d %H:%M}",
            item.tags.get("fraud.code_version", "")[:8],
            item.tags.get("fraud.data_hash", "")[:8],
        )
    console.print(table)
    champion = next((item.number for item in versions if "champion" in item.aliases), None)
    placed = placed_version(connection.home)
    if champion is not None and placed != champion:
        lies = f"version {placed}" if placed else "nothing"
        console.print(
            f"[yellow]version {champion} is champion, {lies} lies in {connection.home / 'champion'}:"
            " run `python -m training promote champion` to place it[/]"
        )


@click.command()
@click.argument("version")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="New folder; gets artifact/ and, if there is one, snapshot/.",
)
def export(version: str, output: Path) -> None:
    """Write the artifact of a VERSION or alias to a folder, verified."""
    from bentos.core.settings import TrainingSettings, load_settings
    from training.registry.versions import export_version

    done = export_version(load_settings(TrainingSettings), version, output)
    click.echo(f"version {done.number} is in {output}")
