"""The jobs' Celery: one queue, one task. The one place that imports it.

A message says only "it is this job's turn". Whoever takes it claims what comes next of the job, does it, and says so
again while there is more. The database knows what was done; the queue spreads the work. So there is no result backend,
no chord to lose, and a message that comes twice, late or never does no harm.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

from celery import Celery
from kombu import Connection, Queue
from kombu.exceptions import KombuError

from bentos.core.errors import ConfigError, Unavailable
from bentos.fraud.jobs.settings import JobsSettings

__all__ = ["QUEUE", "TURN", "Sender", "make_app"]

QUEUE: Final = "fraud_jobs"
TURN: Final = "fraud.jobs.turn"
#: Longer than any step: a broker that hands a message out again before its step has ended wastes work.
_VISIBILITY_SECONDS: Final = 6 * 3600
_SOCKET_SECONDS: Final = 3.0


def make_app(settings: JobsSettings) -> Celery:
    """Celery as servers and workers use it.

    Raises
    ------
    ConfigError
        When no broker is set.
    """
    if settings.queue_url is None:
        raise ConfigError("there is no broker; set FRAUD_QUEUE_URL to redis://… or amqp://…")
    url = settings.queue_url.get_secret_value()
    app = Celery("fraud_jobs", broker=url, set_as_current=False)
    app.conf.update(
        task_queues=[Queue(QUEUE, durable=True)],
        task_default_queue=QUEUE,
        task_ignore_result=True,
        # A message is given back when its worker ends in the middle, and taken one by one.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_transport_options=_transport_options(url),
        broker_connection_timeout=_SOCKET_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        # A step that has no broker any more goes on: its lease says whose it is.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        accept_content=["json"],
        enable_utc=True,
    )
    return app


def _transport_options(url: str) -> dict[str, Any]:
    if url.startswith("redis"):
        return {
            "visibility_timeout": _VISIBILITY_SECONDS,
            "socket_timeout": 2 * _SOCKET_SECONDS,
            "socket_connect_timeout": _SOCKET_SECONDS,
        }
    # The broker says when it has a message.
    return {"confirm_publish": True, "read_timeout": 2 * _SOCKET_SECONDS, "write_timeout": 2 * _SOCKET_SECONDS}


class Sender:
    """Sends messages and asks how many wait. Safe for use by several threads.

    Parameters
    ----------
    app
        From :func:`make_app`.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def send(self, job_ids: Sequence[str]) -> None:
        """Send a message for each job.

        Raises
        ------
        Unavailable
            When the broker does not take them; some may have been sent.
        """
        with self._connected() as connection, connection.channel() as channel:
            producer = self._app.amqp.Producer(channel)
            for job_id in job_ids:
                self._app.send_task(TURN, (job_id,), producer=producer, retry=False)

    def waiting(self) -> int:
        """Messages that nobody has taken.

        Raises
        ------
        Unavailable
            When the broker does not answer.
        """
        with self._connected() as connection, connection.channel() as channel:
            # Declared again, it is there again after a broker has lost everything.
            return int(Queue(QUEUE, durable=True, channel=channel).queue_declare().message_count)

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._drop()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._app.connection_for_write()
                    self._connection.ensure_connection(max_retries=1, timeout=_SOCKET_SECONDS)
                yield self._connection
            except (KombuError, OSError, *self._errors()) as error:
                # What a connection remembers of the broker may be wrong by now, such as which queues there are.
                self._drop()
                raise Unavailable(f"the broker cannot be used at the moment ({type(error).__name__})") from error

    def _errors(self) -> tuple[type[Exception], ...]:
        connection = self._connection or self._app.connection_for_write()
        return (*connection.connection_errors, *connection.channel_errors)

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.release()
            self._connection = None
