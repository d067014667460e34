"""What a worker holds: settings, model, store and metrics, put together and ready to answer."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

import bentos
from bentos.core.answers import DependencyState, Health
from bentos.core.artifact import Artifact, read_artifact
from bentos.core.artifact.manifest import MANIFEST
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.features.snapshot import read_snapshot
from bentos.core.transaction import Transaction
from bentos.fraud.metrics import declare_metrics, scrape, share_metrics
from bentos.fraud.observe.lines import LineWriter
from bentos.fraud.observe.observer import Observer, open_observer
from bentos.fraud.predictor import Predictor
from bentos.fraud.scorer import Scorer
from bentos.fraud.settings import ScoringSettings
from bentos.fraud.store import EmbeddedStore

__all__ = ["Application", "artifact_folder", "load_artifact", "open_application", "prepare"]

#: Where a bento carries them, beside the package.
BENTO_ARTIFACT: Final = "artifact"
BENTO_SNAPSHOT: Final = "snapshot"
_STORE_FILE: Final = "features.store"
_ANYBODY: Final = Transaction(
    transaction_id="-", customer_id="-", merchant_id="-", amount=0, timestamp=datetime(2026, 1, 1, tzinfo=UTC)
)


@dataclass(frozen=True, slots=True)
class Application:
    """A worker's parts."""

    settings: ScoringSettings
    predictor: Predictor
    store: EmbeddedStore
    observer: Observer
    registry: CollectorRegistry

    def health(self) -> Health:
        """State of the service and of each thing it needs."""
        wrong = self.store.check()
        features = DependencyState(status="failing", detail=wrong) if wrong else DependencyState(status="ok")
        return Health(
            status="degraded" if wrong else "ok",
            model=self.predictor.scorer.model,
            dependencies={"model": DependencyState(status="ok"), "features": features},
        )

    def scrape(self) -> bytes:
        """Metrics of all workers of this server, in Prometheus' text format."""
        return scrape(self.registry, self.settings.metrics_folder)

    async def warm_up(self) -> None:
        """Look up once: the first time reads and compiles what later ones find ready; no customer should wait."""
        await self.store.lookup_many([_ANYBODY], [False])

    async def close(self) -> None:
        """Refuse what waits and give back what is held open."""
        await self.predictor.close()
        self.store.close()
        self.observer.close()


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
    ArtifactError, Unavailable
        When the server cannot start.
    """
    Scorer(load_artifact(settings))
    snapshot = snapshot_file(settings, artifact_folder(settings))
    with contextlib.closing(_open_store(settings)) as store:
        if snapshot is not None:
            store.fill(read_snapshot(snapshot))


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
    scorer = Scorer(load_artifact(settings), threads=settings.inference_threads)
    registry = CollectorRegistry()
    metrics = declare_metrics(registry, scorer.model, settings.role, scorer.digest)
    store = _open_store(settings)
    observer = open_observer(settings, metrics, scorer.model, lines)
    return Application(settings, Predictor(scorer, store, metrics, settings), store, observer, registry)


def _open_store(settings: ScoringSettings) -> EmbeddedStore:
    pseudonyms = Pseudonyms(settings.pseudonym_key.get_secret_value())
    return EmbeddedStore(settings.home / "serving" / _STORE_FILE, pseudonyms, settings.feature_store_capacity_bytes)
