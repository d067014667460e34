"""The life of one training in MLflow.

The order makes the numbers in the model card true and keeps half-made versions out of sight::

    with training_run(settings, name="forest") as run:     # run_id is known from here on
        ...                                                 # fit, evaluate: the long part
        version = run.reserve_version()                     # the number for the card, nobody else gets it
        ...                                                 # export with run.run_id and version
        record_training(settings, run=run, ...)             # all logged, then the version is marked complete

A reserved version is invisible to this product until it is complete. When the block is left by an error or Ctrl-C
it is deleted and the run marked FAILED or KILLED; what a killed process could not tidy up, the next training does.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, MappingProxyType
from typing import Any, Final

from bentos.core.errors import RegistryError
from bentos.core.registered import COMPLETE, MODEL_NAME, STATE
from bentos.core.settings import TrainingSettings
from training.registry.client import Connection, connect, translated
from training.registry.lineage import cluster_tags, code_version, is_alive, process_tags

__all__ = ["RESERVED", "TrainingRun", "training_run"]

RESERVED: Final = "reserved"


@dataclass
class TrainingRun:
    """A training under way.

    Parameters
    ----------
    connection
        The tracker.
    run_id
        MLflow's.
    version
        The registered version's number, None until :meth:`reserve_version`.
    """

    connection: Connection
    run_id: str
    version: str | None = None
    model_id: str | None = None
    complete: bool = False

    def reserve_version(self) -> str:
        """Take the next version number for this run; the same one when asked again.

        MLflow numbers versions in its database, so concurrent trainings never share one. What is reserved is
        deleted when the training fails.
        """
        if self.version is not None:
            return self.version
        client = self.connection.client
        with translated(self.connection.uri, "reserving a model version"):
            logged = client.create_logged_model(
                self.connection.experiment_id, name="model", source_run_id=self.run_id, model_type="classifier"
            )
            self.model_id = str(logged.model_id)
            version = client.create_model_version(
                MODEL_NAME,
                logged.artifact_location,
                run_id=self.run_id,
                model_id=self.model_id,
                tags={STATE: RESERVED},
                await_creation_for=0,
            )
        self.version = str(version.version)
        return self.version

    def tag(self, tags: Mapping[str, str]) -> None:
        """Add tags to the run."""
        with translated(self.connection.uri, "tagging the run"):
            for key, value in tags.items():
                self.connection.client.set_tag(self.run_id, key, value)

    def _abandon(self, status: str, reason: str) -> None:
        client = self.connection.client
        with translated(self.connection.uri, "closing the run"):
            if not self.complete:
                if self.version is not None:
                    client.delete_model_version(MODEL_NAME, self.version)
                if self.model_id is not None:
                    client.finalize_logged_model(self.model_id, "FAILED")
            client.set_tag(self.run_id, "fraud.error", reason[:5000])
            client.set_terminated(self.run_id, status)


@contextmanager
def training_run(
    settings: TrainingSettings, *, name: str, tags: Mapping[str, str] | None = None
) -> Iterator[TrainingRun]:
    """Open a run and close it with what became of it: FINISHED, FAILED (an error) or KILLED (Ctrl-C, SIGTERM).

    Parameters
    ----------
    name
        Of the run, for people.
    tags
        Added to those of commit, process and Job.

    Raises
    ------
    RegistryError
        When MLflow cannot be reached.
    """
    connection = connect(settings)
    job = cluster_tags(settings)
    sweep(connection, job)
    code = code_version()
    all_tags = (
        process_tags()
        | job
        | {
            "mlflow.source.git.commit": code.commit,
            "fraud.code_dirty": {True: "true", False: "false", None: "unknown"}[code.dirty],
            **(tags or {}),
        }
    )
    with translated(connection.uri, "starting a run"):
        created = connection.client.create_run(connection.experiment_id, run_name=name, tags=all_tags)
    run = TrainingRun(connection, str(created.info.run_id))
    try:
        with _terminate_as_exit():
            yield run
    except Exception as error:
        _close_after(run, "FAILED", f"{type(error).__name__}: {error}", error)
        raise
    except BaseException as error:  # KeyboardInterrupt, SystemExit
        _close_after(run, "KILLED", type(error).__name__, error)
        raise
    if not run.complete and run.version is not None:
        run._abandon("FAILED", "the version was reserved and nothing was registered")
        raise RegistryError(f"run {run.run_id} reserved version {run.version} and ended without record_training")
    with translated(connection.uri, "closing the run"):
        connection.client.set_terminated(run.run_id, "FINISHED")


def _close_after(run: TrainingRun, status: str, reason: str, error: BaseException) -> None:
    try:
        run._abandon(status, reason)
    except RegistryError as second:
        # The first error is the one to see. The next training tidies up.
        error.add_note(f"run {run.run_id} could not be marked {status}: {second}")


@contextmanager
def _terminate_as_exit() -> Iterator[None]:
    """Let SIGTERM, as Kubernetes sends it, end the block like an error, so that the run is closed."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    mine = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if mine:
        signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def sweep(connection: Connection, own: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """Close the runs of dead processes of this machine, and of the same Job (``own``); returns their ids."""
    client = connection.client
    closed: list[str] = []
    with translated(connection.uri, "looking for runs of dead processes"):
        running: list[Any] = client.search_runs(
            [connection.experiment_id], "attributes.status = 'RUNNING'", max_results=1000
        )
        for found in running:
            tags = dict(found.data.tags)
            if "fraud.pid" not in tags or is_alive(tags, own):
                continue
            for version in client.search_model_versions(f"run_id = '{found.info.run_id}'"):
                if version.tags.get(STATE) != COMPLETE:
                    client.delete_model_version(MODEL_NAME, version.version)
            client.set_tag(found.info.run_id, "fraud.error", "the process ended without closing its run")
            client.set_terminated(found.info.run_id, "KILLED")
            closed.append(str(found.info.run_id))
    return closed
