"""The process's log: every logger's lines in one form, on standard error.

Fields: timestamp (RFC 3339, UTC), level, logger, message, then request_id, trace_id and exception where there are any.
A log line names no customer and no amount. Messages are ours; an exception's text may quote what it choked on, so it is
left out unless its class is known not to.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from bentos.core.errors import FraudError, InvalidInput
from bentos.fraud.observe.exchange import current_exchange
from bentos.fraud.settings import ScoringSettings

__all__ = ["JsonFormatter", "TextFormatter", "configure_logging"]

#: Exceptions whose text says what is wrong here, not what a caller sent.
_SPEAKING: Final = (FraudError, OSError, ImportError, MemoryError)
#: Loggers that follow the level that is set. Others are heard from WARNING on.
_LEVELLED: Final = ("bentos", "bentoml")
_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


class _Stream(Protocol):
    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


class JsonFormatter(logging.Formatter):
    """One JSON object a line, ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, without its newline."""
        return json.dumps(_fields(record))


class TextFormatter(logging.Formatter):
    """A line to read; an exception follows on lines of its own, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines of a record, without the last newline."""
        fields = _fields(record)
        exception = fields.pop("exception", "")
        known = " ".join(str(fields.pop(name)) for name in ("timestamp", "level", "logger", "message"))
        line = " ".join([known, *(f"{name}={value}" for name, value in fields.items())]).translate(_CONTROL)
        return "\n    ".join([line, *exception.splitlines()])


def configure_logging(settings: ScoringSettings, stream: _Stream | None = None) -> None:
    """Take over the log of this process, BentoML's and uvicorn's included.

    BentoML configures logging when a process starts, before it loads the service, and not again.

    Parameters
    ----------
    settings
        Form and level.
    stream
        Where lines go. None means standard error, whose reader can then block this process.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.propagate = True
            # BentoML gives uvicorn and circus levels of their own.
            logger.setLevel(logging.NOTSET)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(max(level, logging.WARNING))
    for name in _LEVELLED:
        logging.getLogger(name).setLevel(level)
    # uvicorn composes a line for each request if anything might hear it, whatever the level.
    logging.getLogger("uvicorn.access").propagate = False
    logging.captureWarnings(True)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    exchange = current_exchange()
    fields = {
        "timestamp": timestamp(record.created),
        "level": record.levelname,
        "logger": record.name,
        "message": _message(record),
        "request_id": getattr(record, "request_id", None) or (exchange and exchange.request_id),
        "trace_id": getattr(record, "trace_id", None) or (exchange and exchange.trace_id),
        "exception": _exception_text(record.exc_info[1]) if record.exc_info and record.exc_info[1] else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def timestamp(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    # asyncio's further lines show objects, whatever these hold.
    return message.partition("\n")[0] if record.name == "asyncio" else message


def _exception_text(error: BaseException) -> str:
    return "".join(_traceback(error, set())).rstrip()


def _traceback(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None and id(earlier) not in seen:
        yield from _traceback(earlier, seen)
        yield "which led to:\n" if earlier is error.__cause__ else "and meanwhile:\n"
    yield from traceback.format_tb(error.__traceback__)
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    speaks = isinstance(error, _SPEAKING) and not isinstance(error, InvalidInput)
    yield f"{kind}: {error}\n" if speaks else f"{kind} (its text may quote a request and is left out)\n"
