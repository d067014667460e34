"""Requests of Celery whose acknowledgement is not lost silently."""

from __future__ import annotations

from typing import Any, NoReturn

from celery.utils.log import get_logger
from celery.worker.request import Request
from kombu.asynchronous import get_event_loop

__all__ = ["CertainRequest"]

_LOGGER = get_logger(__name__)


class CertainRequest(Request):  # type: ignore[misc] # Celery has no types
    """A message whose acknowledgement may fail because the broker is gone.

    Celery logs such a failure and goes on. What was not acknowledged then counts against the messages that a worker may
    hold, none is taken any more, and with Redis, whose connection nobody reads meanwhile, the worker does nothing until
    somebody starts it anew. Here the connection is made anew, and with it the count.
    """

    acknowledged: bool

    def acknowledge(self) -> None:
        """Acknowledge; when the broker is gone, connect again. The message comes again, to find its step done."""
        if self.acknowledged:
            return
        try:
            self._on_ack(_LOGGER, ())
        except self.connection_errors as error:
            hub = get_event_loop()
            if hub is not None:
                hub.call_soon(_lose_connection, error)
        self.acknowledged = True


def _lose_connection(error: Any) -> NoReturn:
    # Out of the worker's loop, which takes it for what it is.
    raise error
