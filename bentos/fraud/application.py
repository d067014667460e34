"""What a worker holds: settings, model, store and metrics, put together and ready to answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

import bentos
from bentos.core.answers import DependencyState, Health
from bentos.core.artifact import Artifact, read_artifact
from bentos.core.artifact.manifest import MANIFEST
from bentos.core.errors import ConfigError, Unavailable
from bentos.core.features.snapshot import read_snapshot
from bentos.core.transaction import Transaction
from bentos.fraud.access.guard import Guard, open_guard
from bentos.fraud.access.tls import Tls, open_tls
from bentos.fraud.drift.collector import DriftCollector, open_counts
from bentos.fraud.jobs import open as open_jobs
from bentos.fraud.jobs.desk import Desk
from bentos.fraud.metrics import declare_metrics, scrape, share_metrics
from bentos.fraud.observe.dependencies import DependencyCollector
from bentos.fraud.observe.lines import LineWriter
from bentos.fraud.observe.observer import Observer, open_observer
from bentos.fraud.predictor import Predictor
from bentos.fraud.processes import Supervisor
from bentos.fraud.records import recording
from bentos.fraud.records.database import Database, open_database, upgrade
from bentos.fraud.records.office import Records
from bentos.fraud.remote.model import RemoteModel
from bentos.fraud.scorer import Scorer
from bentos.fraud.settings import ScoringSettings
from bentos.fraud.store import FeatureStore, open_store
from bentos.fraud.store.watch import StoreWatch, WatchedStore

__all__ = ["Application", "artifact_folder", "load_artifact", "open_application", "open_store", "prepare"]

_LOGGER = logging.getLogger(__name__)
#: Where a bento carries them, beside the package.
BENTO_ARTIFACT: Final = "artifact"
BENTO_SNAPSHOT: Final = "snapshot"
#: Decides which worker keeps the processes beside the server running.
_SUPERVISOR_LOCK: Final = "processes.lock"
_ANYBODY: Final = Transaction(
    transaction_id="-", customer_id="-", merchant_id="-", amount=0, timestamp=datetime(2026, 1, 1, tzinfo=UTC)
)


@dataclass(frozen=True, slots=True)
class Application:
    """A worker's parts."""

    settings: ScoringSettings
    predictor: Predictor
    store: FeatureStore
    observer: Observer
    registry: CollectorRegistry
    database: Database
    jobs: Desk
    records: Records
    #: Says who may call; None lets everybody.
    guard: Guard | None = None
    #: Of gRPC; None serves it without.
    tls: Tls | None = None
    #: The model on another server; None means in this process.
    remote: RemoteModel | None = None

    def health(self) -> Health:
        """State of the service and of each thing it needs."""
        dependencies = {"model": _state(self.predictor.trouble), "features": _state(self.store.check())}
        dependencies["records"] = _state(self.records.trouble)
        dependencies["queue"] = self.jobs.check()
        if self.guard is not None:
            dependencies |= self.guard.states()
        if self.tls is not None:
            dependencies["grpc_certificate"] = _state(self.tls.trouble)
        failing = any(state.status == "failing" for state in dependencies.values())
        return Health(
            status="degraded" if failing else "ok", model=self.predictor.scorer.model, dependencies=dependencies
        )

    def supervisor(self) -> Supervisor:
        """Keeps the processes beside the server running.

        Raises
        ------
        ConfigError
            When broker or files of jobs cannot be used.
        """
        commands = [*recording.processes(self.settings), *open_jobs.processes(self.settings)]
        lock = self.settings.home / "serving" / _SUPERVISOR_LOCK
        return Supervisor(lock, commands, open_jobs.tasks(self.settings, self.database))

    def scrape(self) -> bytes:
        """Metrics of all workers of this server, in Prometheus' text format."""
        model, role = self.predictor.scorer.model, self.settings.role
        dependencies = DependencyCollector(self.health, role)
        drift = DriftCollector(self.predictor.metrics.drift, model, role, self.settings.drift_minimum_rows)
        others = (self.jobs.counts, self.records.quality, self.records.pairs, dependencies, drift)
        return scrape(self.registry, self.settings.metrics_folder, *others)

    async def warm_up(self) -> None:
        """Look up once: the first time reads and compiles what later ones find ready; no customer should wait."""
        await self.store.lookup_many([_ANYBODY], [False])
        self.records.start()
        if self.remote is not None:
            await self.remote.start()
        if self.guard is not None:
            await self.guard.start()

    async def close(self, supervision: asyncio.Task[None] | None = None) -> None:
        """Refuse what waits and give back what is held open.

        Parameters
        ----------
        supervision
            Keeps the processes beside the server running; cancelled when they have been handed what is theirs to do.
        """
        await self.predictor.close()
        if self.remote is not None:
            await self.remote.close()
        await self.records.close()
        if supervision is not None:
            supervision.cancel()
            await asyncio.gather(supervision, return_exceptions=True)
        await self.store.leave()
        if self.guard is not None:
            await self.guard.close()
        self.jobs.close()
        self.database.close()
        self.store.close()
        self.observer.close()
        if self.predictor.metrics.drift is not None:
            self.predictor.metrics.drift.close()


def artifact_folder(settings: ScoringSettings) -> Path:
    """The artifact to serve: the one set, else the one in the bento, else the champion's. It need not be there."""
    in_bento = Path(bentos.__file__).parent.parent / BENTO_ARTIFACT
    folder = settings.artifact or (
        in_bento if (in_bento / MANIFEST).is_file() else settings.home / "champion" / BENTO_ARTIFACT
    )
    return folder.absolute()


def snapshot_file(settings: ScoringSettings, artifact: Path) -> Path | None:
    """The snapshot that fills an empty feature store; None when there is none beside the artifact."""
    place = settings.snapshot or artifact.parent / BENTO_SNAPSHOT
    if place.is_dir():
        return next(iter(sorted(place.glob("*.npz"))), None)
    # One that was asked for and is missing is an error, which reading it will name.
    return place if settings.snapshot or place.is_file() else None


def load_artifact(settings: ScoringSettings) -> Artifact:
    """Read and verify the artifact to serve.

    Raises
    ------
    ArtifactError
        When there is none, it is damaged, unsigned though a key is set, or made for other features.
    """
    return read_artifact(artifact_folder(settings), public_key=settings.signing_public_key)


def prepare(settings: ScoringSettings) -> None:
    """Do once for all workers of a server what none of them should do: check the model, fill an empty store.

    Raises
    ------
    ArtifactError, ConfigError, Unavailable
        When the server cannot start.
    """
    artifact = load_artifact(settings)
    scorer = Scorer(artifact)
    remote = _remote(settings, artifact, scorer)
    if remote is not None:
        _check_remote(remote)
    _upgrade(settings)
    snapshot = snapshot_file(settings, artifact_folder(settings))
    with contextlib.closing(open_store(settings)) as store:
        if snapshot is not None:
            _fill(store, snapshot, settings)


def _remote(settings: ScoringSettings, artifact: Artifact, scorer: Scorer) -> RemoteModel | None:
    if settings.model_url is None:
        return None
    if settings.model_timeout_milliseconds >= settings.deadline_milliseconds:
        raise ConfigError(
            f"FRAUD_MODEL_TIMEOUT_MILLISECONDS is {settings.model_timeout_milliseconds}, and has to be less than"
            f" FRAUD_DEADLINE_MILLISECONDS, {settings.deadline_milliseconds}: the rules answer in the time between"
        )
    remote = RemoteModel(settings, artifact, scorer)
    scorer.leave_model()
    return remote


def _check_remote(remote: RemoteModel) -> None:
    try:
        asyncio.run(remote.check())
    except Unavailable as error:
        # The rules answer until it is there.
        _LOGGER.warning("the model at %s cannot score yet: %s", remote.url, error)


def _upgrade(settings: ScoringSettings) -> None:
    try:
        upgrade(settings)
    except Unavailable as error:
        if settings.records_url is None:
            raise
        # Predictions do not wait for their records; a worker upgrades the database when it is back.
        _LOGGER.warning("%s", error)


def _fill(store: FeatureStore, snapshot: Path, settings: ScoringSettings) -> None:
    try:
        store.fill(read_snapshot(snapshot))
    except Unavailable as error:
        if settings.feature_store == "embedded":
            raise
        # Answers with defaults are better than none; the next start, or `features fill`, does it.
        _LOGGER.warning("the feature snapshot %s is not taken over: %s", snapshot, error)


def open_application(settings: ScoringSettings, lines: LineWriter | None = None) -> Application:
    """Put a worker together.

    Parameters
    ----------
    settings
        Of the worker.
    lines
        Of the process's log; None when it has none of its own, and so no access log.

    Raises
    ------
    ArtifactError, Unavailable
        When the model cannot be served or the store not be opened.
    """
    if settings.metrics_folder is not None:
        share_metrics(settings.metrics_folder)
    artifact = load_artifact(settings)
    scorer = Scorer(artifact, threads=settings.inference_threads)
    remote = _remote(settings, artifact, scorer)
    registry = CollectorRegistry()
    drift = open_counts(settings, settings.metrics_folder, artifact.distributions)
    metrics = declare_metrics(registry, scorer.model, settings.role, scorer.digest, drift)
    store = open_store(settings, paced=True)
    observer = open_observer(settings, metrics, scorer.model, lines)
    guard = open_guard(settings, settings.metrics_folder)
    limit = settings.feature_age_limit_seconds
    watched = WatchedStore(store, StoreWatch(store, metrics.feature_age.set, limit))
    database = open_database(settings)
    records = Records(settings, database, store, metrics, scorer.model, settings.role)
    predictor = Predictor(scorer, store if limit is None else watched, metrics, settings, records.log, remote)
    jobs = open_jobs.open_desk(settings, database)
    return Application(
        settings, predictor, watched, observer, registry, database, jobs, records, guard, open_tls(settings), remote
    )


def _state(wrong: str | None) -> DependencyState:
    return DependencyState(status="failing", detail=wrong) if wrong else DependencyState(status="ok")
