"""Make a version champion: judge it, place its files, move the alias, write down who and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bentos.core.errors import RegistryError
from bentos.core.features import FEATURE_SCHEMA
from bentos.core.registered import CHALLENGER, CHAMPION, MODEL_NAME
from bentos.core.settings import TrainingSettings
from training.registry.acceptance import AcceptanceRule, Candidate, Verdict, judge
from training.registry.champion import champion_folder, prepared, switch
from training.registry.client import Connection, connect, exclusive, translated
from training.registry.comparison import compare
from training.registry.lineage import who
from training.registry.versions import (
    Version,
    copy_version,
    default_candidate,
    evaluation_of,
    fetch_artifact,
    held_out_of,
    list_versions,
    resolve,
)

__all__ = ["Acceptance", "Promotion", "accept", "promote"]


@dataclass(frozen=True)
class Promotion:
    """What happened: the versions, the verdict, whether it was overruled, and where the files lie."""

    version: Version
    before: Version | None
    verdict: Verdict
    forced: bool
    folder: Path


@dataclass(frozen=True)
class Acceptance:
    """What the rule says of a version, and the champion that it was compared with."""

    version: Version
    champion: Version | None
    verdict: Verdict


def accept(
    settings: TrainingSettings, name: str | None = None, *, note: bool = True, rule: AcceptanceRule | None = None
) -> Acceptance:
    """Ask the rule whether a version may become champion, and change nothing but its tags.

    Parameters
    ----------
    name
        Version or alias; None means the challenger, or the newest version when there is none.
    note
        Whether the answer is noted with the version.

    Raises
    ------
    RegistryError
        When there is no such version, or MLflow fails.
    """
    connection = connect(settings)
    version = resolve(connection, name) if name is not None else default_candidate(connection)
    champion = _champion(connection)
    if champion is not None and champion.number == version.number:
        return Acceptance(version, champion, Verdict(()))
    verdict = _judged(connection, settings, version, champion, rule)
    if note:
        tags = {
            "fraud.accepted": str(verdict.accepted).lower(),
            "fraud.accepted_against": champion.number if champion else "",
            "fraud.accepted_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "fraud.acceptance_reasons": verdict.reasons or "accepted by the rule",
        }
        with translated(connection.uri, f"noting what the rule says of version {version.number}"):
            for key, value in tags.items():
                connection.client.set_model_version_tag(MODEL_NAME, version.number, key, value[:5000])
    return Acceptance(version, champion, verdict)


def promote(
    settings: TrainingSettings,
    name: str | None = None,
    *,
    force: bool = False,
    reason: str = "",
    rule: AcceptanceRule | None = None,
) -> Promotion:
    """Make a version champion when the rule lets it, or when it is forced with a reason.

    First its files are complete on this machine, then the alias moves, then the link. Whatever stops it between
    two steps, the champion that is served is whole, and promoting again finishes the job.

    Parameters
    ----------
    name
        Version or alias; None means the challenger, or the newest version when there is none.
    force
        Promote against the rule; ``reason`` is then required and kept in the version's tags.

    Raises
    ------
    RegistryError
        When the rule refuses (the message names every condition that failed with its numbers), when there is no
        such version, or when files or MLflow fail.
    """
    if force and not reason.strip():
        raise RegistryError("promoting against the rule needs a reason for the record: add --reason TEXT")
    connection = connect(settings)
    with exclusive(connection.home / ".promote.lock"):
        version = resolve(connection, name) if name is not None else default_candidate(connection)
        before = _champion(connection)
        if before is not None and before.number == version.number:
            verdict = Verdict(())  # only its files are placed again
        else:
            verdict = _judged(connection, settings, version, before, rule)
        if not verdict.accepted and not force:
            raise RegistryError(
                f"version {version.number} may not become champion: {verdict.reasons}. Improve it, or overrule with"
                " --force --reason TEXT"
            )
        folder_name = f"v{version.number}-{version.tags['fraud.artifact_digest'][:12]}"
        with prepared(connection.home, folder_name) as folder:
            copy_version(connection, version, settings, folder)
        _move_alias(connection, version, before, reason, forced=force and not verdict.accepted)
        switch(connection.home, folder_name)
    return Promotion(version, before, verdict, force and not verdict.accepted, champion_folder(connection.home))


def _champion(connection: Connection) -> Version | None:
    return next((item for item in list_versions(connection) if CHAMPION in item.aliases), None)


def _candidate(connection: Connection, version: Version) -> Candidate:
    report = evaluation_of(connection, version)
    return Candidate(
        version=version.number,
        feature_schema=version.tags["fraud.feature_schema"],
        data_hash=version.tags["fraud.data_hash"],
        split=report["split"],
        average_precision=report["summary"]["average_precision"]["mean"],
        roc_auc=report["summary"]["roc_auc"]["mean"],
        fraud_share=report["frauds"] / report["rows"],
        overfitting=report["overfitting"]["status"],
    )


def _judged(
    connection: Connection,
    settings: TrainingSettings,
    version: Version,
    before: Version | None,
    rule: AcceptanceRule | None,
) -> Verdict:
    challenger = _candidate(connection, version)
    if before is None:
        return judge(challenger, None, None, served_schema=FEATURE_SCHEMA, rule=rule)
    champion = _candidate(connection, before)
    comparison = None
    # A champion of another schema cannot be scored on these rows: what it would be given are other features.
    if champion.feature_schema == challenger.feature_schema:
        comparison = compare(held_out_of(connection, version), fetch_artifact(connection, before, settings))
    return judge(challenger, champion, comparison, served_schema=FEATURE_SCHEMA, rule=rule)


def _move_alias(connection: Connection, version: Version, before: Version | None, reason: str, *, forced: bool) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    tags = {
        "fraud.promoted_at": now,
        "fraud.promoted_by": who(),
        "fraud.promotion_reason": reason.strip() or "accepted by the rule",
        "fraud.promotion_forced": str(forced).lower(),
    }
    client = connection.client
    with translated(connection.uri, f"promoting version {version.number}"):
        if before is None or before.number != version.number:
            for key, value in tags.items():
                client.set_model_version_tag(MODEL_NAME, version.number, key, value[:5000])
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, version.number)
        if CHALLENGER in version.aliases:
            client.delete_registered_model_alias(MODEL_NAME, CHALLENGER)
        if before is not None and before.number != version.number:
            client.set_model_version_tag(MODEL_NAME, before.number, "fraud.replaced_at", now)
            client.set_model_version_tag(MODEL_NAME, before.number, "fraud.replaced_by", version.number)
