"""Where trials are kept: any database that SQLAlchemy knows, by default SQLite, with heartbeats.

SQLite with heartbeats rather than a journal file: every trial's process signs in every few seconds, so that one that
was killed without a chance to say so is noticed, marked failed, and its parameters are tried again. Several processes
may work on one file: write-ahead logging lets readers go on, and writers wait for each other.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

import optuna
import sqlalchemy

from bentos.core.errors import ConfigError
from training.tune.identity import StudyIdentity

__all__ = ["default_storage", "fail_stale_trials", "open_storage", "open_study"]

#: Seconds between signs of life, and without one until a trial counts as dead.
HEARTBEAT_SECONDS: Final = 5
GRACE_SECONDS: Final = 30
#: How long a writer waits for another one.
_LOCK_SECONDS: Final = 60
#: A trial that kills its process, by lack of memory for example, is not tried forever.
_MAXIMUM_RETRIES: Final = 3
_ATTEMPTS: Final = 6
#: In PostgreSQL.
_SCHEMA: Final = "fraud_tune"
_IDENTITY: Final = "identity"

Made = TypeVar("Made")


def default_storage(home: Path) -> str:
    """URL of the database under FRAUD_HOME."""
    return f"sqlite:///{(home / 'tune.db').absolute()}"


def open_storage(
    url: str, *, heartbeat_seconds: int = HEARTBEAT_SECONDS, grace_seconds: int = GRACE_SECONDS
) -> optuna.storages.RDBStorage:
    """Connect to a database of studies, made when it is not there.

    Raises
    ------
    ConfigError
        When it cannot be reached or is not one.
    """
    engine: dict[str, Any] = {}
    try:
        parsed = sqlalchemy.engine.make_url(url)
        if parsed.get_backend_name() == "postgresql":
            # A schema of their own, so that studies may lie in the records' database.
            _despite_company(lambda: _make_schema(url))
            engine = {"connect_args": {"options": f"-csearch_path={_SCHEMA}"}, "pool_pre_ping": True}
        if parsed.get_backend_name() == "sqlite":
            engine = {"connect_args": {"timeout": _LOCK_SECONDS}}
            if parsed.database and parsed.database != ":memory:":
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
                _use_write_ahead_log(url, engine)
        return _despite_company(lambda: _connect(url, engine, heartbeat_seconds, grace_seconds))
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"the storage of studies {_without_password(url)} cannot be used ({reason}); give --storage a URL such as"
            " sqlite:///var/tune.db of a database that can be written, and that no other version of Optuna made"
        ) from error


def _connect(
    url: str, engine: dict[str, Any], heartbeat_seconds: int, grace_seconds: int
) -> optuna.storages.RDBStorage:
    with warnings.catch_warnings():
        # Heartbeats are marked experimental since Optuna 2.8; a test of ours fails should they change.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.RDBStorage(
            url,
            engine_kwargs=engine,
            heartbeat_interval=heartbeat_seconds,
            grace_period=grace_seconds,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(_MAXIMUM_RETRIES),
        )


def _despite_company(make: Callable[[], Made]) -> Made:
    """Make what several processes may be making at the same moment: who comes second finds it made."""
    for attempt in range(_ATTEMPTS):
        try:
            return make()
        except (
            sqlalchemy.exc.IntegrityError,
            sqlalchemy.exc.OperationalError,
            sqlalchemy.exc.ProgrammingError,
            optuna.exceptions.StorageInternalError,
        ) as error:
            made_elsewhere = isinstance(error, sqlalchemy.exc.IntegrityError) or "already exists" in str(error)
            if attempt == _ATTEMPTS - 1 or not made_elsewhere:
                raise
            time.sleep(0.1 * 2**attempt)
    raise AssertionError


def _without_password(url: str) -> str:
    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return "(no URL)"


def _use_write_ahead_log(url: str, engine: dict[str, Any]) -> None:
    """A property of the file, set once."""
    connection = sqlalchemy.create_engine(url, **engine)
    try:
        with connection.connect() as opened:
            opened.execute(sqlalchemy.text("PRAGMA journal_mode=WAL"))
    finally:
        connection.dispose()


def _make_schema(url: str) -> None:
    connection = sqlalchemy.create_engine(url)
    try:
        with connection.begin() as opened:
            opened.execute(sqlalchemy.text(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}"))
    finally:
        connection.dispose()


def open_study(
    storage: optuna.storages.RDBStorage,
    name: str,
    identity: StudyIdentity,
    *,
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner,
) -> optuna.Study:
    """The study of that name, made when there is none; the value to maximise is the mean average precision.

    Raises
    ------
    ConfigError
        When it was made for something else.
    """
    study = _despite_company(
        lambda: optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True, sampler=sampler, pruner=pruner
        )
    )
    if _IDENTITY not in study.user_attrs:
        _despite_company(lambda: study.set_user_attr(_IDENTITY, asdict(identity)))
    differences = identity.differences(study.user_attrs[_IDENTITY])
    if differences:
        raise ConfigError(
            f"the study {name!r} was made for something else ({'; '.join(differences)}); its trials cannot be compared:"
            " leave --study out, or give another name"
        )
    return study


def fail_stale_trials(study: optuna.Study) -> None:
    """Mark trials whose process died as failed, and queue their parameters again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
