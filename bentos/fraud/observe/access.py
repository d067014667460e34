"""The access log: a line for each request that was answered.

It does not pass through ``logging``, which takes longer than the rest of such a line; the lines look the same.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from time import time
from typing import Final, Literal, Protocol

from bentos.core.answers import ModelVersion
from bentos.fraud.observe.exchange import Exchange
from bentos.fraud.observe.logs import timestamp

__all__ = ["AccessLog"]

_LOGGER_NAME: Final = "bentos.access"


class _Lines(Protocol):
    def write(self, line: str, /) -> object: ...


class AccessLog:
    """Writes a line for each request. Belongs to one thread.

    Parameters
    ----------
    lines
        Where they go.
    model
        Named in each.
    form
        "json" or "text".
    """

    def __init__(self, lines: _Lines, model: ModelVersion, form: Literal["json", "text"]) -> None:
        self._lines = lines
        self._line = self._json if form == "json" else self._text
        self._model = json.dumps(model.version) if form == "json" else model.version
        self._second = 0
        self._prefix = ""

    def write(self, exchange: Exchange, method: str, code: str, seconds: float) -> None:
        """Log a request that was answered.

        Parameters
        ----------
        exchange
            Request and answer.
        method
            What was called.
        code
            Status of HTTP, or gRPC's name of one.
        seconds
            From the request's arrival to the answer's departure.
        """
        self._lines.write(self._line(exchange, method, code, seconds))

    def _json(self, exchange: Exchange, method: str, code: str, seconds: float) -> str:
        trace = f',"trace_id":"{exchange.trace_id}"' if exchange.trace_id else ""
        decision = f',"decision":"{exchange.decision}"' if exchange.decision else ""
        degraded = ',"degraded":true' if exchange.degraded else ""
        caller = f',"caller":{encode_basestring_ascii(exchange.caller.name)}' if exchange.caller else ""
        return (
            f'{{"timestamp":"{self._now()}","level":"INFO","logger":"{_LOGGER_NAME}","message":"answered",'
            f'"request_id":{encode_basestring_ascii(exchange.request_id)}{trace},'
            f'"transport":"{exchange.transport}","method":"{method}","status":"{code}","seconds":{seconds:.6f},'
            f'"model_version":{self._model}{decision}{degraded}{caller}}}\n'
        )

    def _text(self, exchange: Exchange, method: str, code: str, seconds: float) -> str:
        trace = f" trace_id={exchange.trace_id}" if exchange.trace_id else ""
        decision = f" decision={exchange.decision}" if exchange.decision else ""
        degraded = " degraded" if exchange.degraded else ""
        caller = f" caller={exchange.caller.name}" if exchange.caller else ""
        return (
            f"{self._now()} INFO {_LOGGER_NAME} {exchange.transport} {method} {code} {seconds:.6f}"
            f" request_id={exchange.request_id}{trace} model_version={self._model}{decision}{degraded}{caller}\n"
        )

    def _now(self) -> str:
        now = time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = timestamp(second)[:-4]
        return f"{self._prefix}{int((now - second) * 1000):03d}Z"
