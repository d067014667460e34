"""Rollouts in the records database, beside the ConfigMap, which is the truth.

The one module of this package that knows anything of the service: its records, where `FRAUD_RECORDS_URL` says. The
controller hands states over and goes on; a thread writes them when the database lets it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from bentos.core.errors import ConfigError, Unavailable
from bentos.core.settings import load_settings
from bentos.fraud.records.settings import RecordsSettings
from k8s.rollout.record import Look, Rollout

if TYPE_CHECKING:
    from bentos.fraud.records.database import Database
    from bentos.fraud.records.rollouts import KeptRollout

__all__ = ["Archive", "archive_settings", "recorded"]

_LOG: Final = logging.getLogger(__name__)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
#: Pauses after a failure, seconds: the first, and the longest.
_PAUSES: Final = (1.0, 60.0)

_Key = tuple[str, str, datetime]


def archive_settings() -> RecordsSettings | None:
    """The records that the environment names; None when it names none.

    Raises
    ------
    ConfigError
        When a variable is wrong.
    """
    settings = load_settings(RecordsSettings)
    return settings if settings.records_url is not None else None


class Archive:
    """Writes rollouts of a namespace into the records. Safe for use by several threads.

    A state that cannot be written waits, and is tried again; of several states of a rollout the last one does, since
    it holds the looks of those before it.

    Parameters
    ----------
    settings
        Of the records.
    namespace
        Of the cluster, beside which a rollout's name is one of a kind.
    """

    def __init__(self, settings: RecordsSettings, namespace: str) -> None:
        self._settings = settings
        self._namespace = namespace
        self._changed = threading.Condition()
        self._waiting: dict[_Key, Rollout] = {}
        #: Of what is written: its number of writes, and its latest look.
        self._written: dict[_Key, tuple[int, datetime]] = {}
        self._stopping = False
        self._database: Database | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="rollout-records")
        self._thread.start()

    def put(self, rollout: Rollout) -> None:
        """Keep a state, if it is a later one than the last; neither waits nor fails."""
        key = rollout.release, rollout.name, rollout.began
        with self._changed:
            known = self._waiting[key].writes if key in self._waiting else self._written.get(key, (-1, _EPOCH))[0]
            if rollout.writes > known:
                self._waiting[key] = rollout
                self._changed.notify_all()

    def close(self, seconds: float = 5.0) -> bool:
        """Stop, once what waits is written or the time is over; whether all is written."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, seconds)
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(seconds)
        return not self._waiting

    def _run(self) -> None:
        pause, told = _PAUSES[0], ""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if self._stopping:
                    break
                batch = dict(self._waiting)
            try:
                self._write(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, a rollout goes on without its records
                said = str(error) if isinstance(error, Unavailable | ConfigError) else type(error).__name__
                if said != told:
                    _LOG.warning("rollouts are in the ConfigMap alone, and written to the records later: %s", said)
                told = said
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, pause)
                pause = min(2 * pause, _PAUSES[1])
            else:
                pause, told = _PAUSES[0], ""
        if self._database is not None:
            self._database.close()

    def _write(self, batch: dict[_Key, Rollout]) -> None:
        from bentos.fraud.records.rollouts import keep_rollout

        if self._database is None:
            self._database = _opened(self._settings)
        for key, rollout in batch.items():
            _, seen = self._written.get(key, (-1, _EPOCH))
            looks = tuple(look for look in rollout.looks if look.at > seen)
            keep_rollout(self._database, _kept(self._namespace, rollout, looks))
            with self._changed:
                self._written[key] = rollout.writes, looks[-1].at if looks else seen
                if self._waiting.get(key) is rollout:
                    del self._waiting[key]
                self._changed.notify_all()


def recorded(
    settings: RecordsSettings, namespace: str, release: str | None = None, *, limit: int = 50
) -> tuple[Rollout, ...]:
    """Rollouts of the records with all their looks, the latest first.

    Raises
    ------
    Unavailable
        The database does not answer.
    ConfigError
        Its URL is wrong, or its driver is not installed.
    """
    with contextlib.closing(_opened(settings)) as database:
        from bentos.fraud.records.rollouts import kept_rollouts

        return tuple(_read(kept_rollouts(database, namespace, release, limit=limit)))


def _opened(settings: RecordsSettings) -> Database:
    try:
        from bentos.fraud.records.database import open_database, upgrade
    except ImportError as error:
        raise ConfigError(
            f"the records need {error.name}, which is not installed: install the extra serve, or unset"
            " FRAUD_RECORDS_URL"
        ) from error
    upgrade(settings)
    return open_database(settings)


def _read(found: Iterable[KeptRollout]) -> Iterator[Rollout]:
    for one in found:
        try:
            looks = tuple(Look.model_validate_json(look.document) for look in one.looks)
            yield Rollout.model_validate_json(one.document).model_copy(update={"looks": looks})
        except ValidationError:
            _LOG.warning("the rollout %s of %s was recorded by another version, and is left out", one.name, one.release)


def _kept(namespace: str, rollout: Rollout, looks: Iterable[Look]) -> KeptRollout:
    from bentos.fraud.records.rollouts import KeptLook, KeptRollout

    return KeptRollout(
        namespace=namespace,
        release=rollout.release,
        name=rollout.name,
        began=_microseconds(rollout.began),
        ended=_microseconds(rollout.ended) if rollout.ended else None,
        phase=rollout.phase,
        champion=rollout.champion.shown,
        challenger=rollout.challenger.shown,
        writes=rollout.writes,
        document=rollout.model_copy(update={"looks": ()}).model_dump_json(exclude_defaults=True),
        looks=[
            KeptLook(_microseconds(look.at), look.step, look.weight, look.action, look.model_dump_json())
            for look in looks
        ],
    )


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND
