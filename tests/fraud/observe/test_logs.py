from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
import logging
import logging.config
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bentos.core.errors import FieldError, InvalidInput, Unavailable
from bentos.core.transaction import Transaction
from bentos.fraud.observe.exchange import Exchange
from bentos.fraud.observe.logs import configure_logging
from bentos.fraud.settings import ScoringSettings

CUSTOMER = "customer-4711"
AMOUNT = 1234.56
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Logging as it was before the test."""
    loggers = [
        logging.root,
        *(item for item in logging.root.manager.loggerDict.values() if isinstance(item, logging.Logger)),
    ]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    logging.captureWarnings(False)
    for logger, handlers, level, propagate in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate


def configured(**settings: Any) -> io.StringIO:
    """Logging into the stream that is returned."""
    stream = io.StringIO()
    configure_logging(ScoringSettings(**settings), stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """What was logged as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_an_object_whatever_is_said() -> None:
    stream = configured()
    logging.getLogger("bentos.fraud.http.problems").info('a\nb "c" %s é  ', "d\r\n")
    (line,) = lines(stream)
    assert stream.getvalue().isascii()
    assert TIMESTAMP.fullmatch(line.pop("timestamp"))
    assert line == {"level": "INFO", "logger": "bentos.fraud.http.problems", "message": 'a\nb "c" d\r\n é  '}


def test_lines_name_their_request() -> None:
    stream = configured()
    logger = logging.getLogger("bentos.test")

    async def answer(request_id: str, trace_id: str | None) -> None:
        exchange = Exchange("http", request_id, None)
        exchange.trace_id = trace_id
        exchange.enter()
        await asyncio.sleep(0)
        logger.warning("here")

    async def both() -> None:
        await asyncio.gather(answer("one", "4b" * 16), answer("two", None))
        logger.warning("outside")
        logger.warning("told", extra={"request_id": "three"})

    asyncio.run(both())
    found = [(line.get("request_id"), line.get("trace_id")) for line in lines(stream)]
    assert found == [("one", "4b" * 16), ("two", None), (None, None), ("three", None)]


def raised(message: str, cause: Exception) -> Unavailable:
    """An error that another led to, with its traceback."""

    def fail() -> None:
        raise Unavailable(message) from cause

    with pytest.raises(Unavailable) as caught:
        fail()
    return caught.value


def test_an_exception_is_one_field_with_its_causes() -> None:
    stream = configured()
    error = raised("the store cannot be written", OSError("the disk is full"))
    logging.getLogger("bentos.test").error("failed", exc_info=error)
    (line,) = lines(stream)
    text = line["exception"]
    assert text.index("OSError: the disk is full") < text.index("Unavailable: the store cannot be written")
    assert __file__ in text


def hostile_errors() -> list[Exception]:
    """Errors whose texts quote a request."""
    with pytest.raises(ValidationError, match=CUSTOMER) as refused:
        Transaction.model_validate({"customer_id": CUSTOMER, "amount": str(AMOUNT), "surprise": CUSTOMER})
    return [
        KeyError(CUSTOMER),
        ValueError(f"amount {AMOUNT}"),
        InvalidInput([FieldError("amount", f"got {AMOUNT} of {CUSTOMER}")]),
        refused.value,
    ]


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_exception_tells_of_customers_and_amounts(form: str) -> None:
    stream = configured(log_format=form)
    for hostile in hostile_errors():
        error = raised("the request failed", hostile)
        logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=error)
    assert stream.getvalue().count("Unavailable: the request failed") == 4
    assert CUSTOMER not in stream.getvalue()
    assert str(AMOUNT) not in stream.getvalue()


def test_asyncio_tells_of_no_customer_either() -> None:
    stream = configured()

    async def failing() -> None:
        raise ValueError(CUSTOMER)

    async def forget() -> None:
        task = asyncio.create_task(failing())
        await asyncio.sleep(0)
        del task
        gc.collect()

    asyncio.run(forget())
    (line,) = lines(stream)
    assert line["message"] == "Task exception was never retrieved"
    assert "ValueError" in line["exception"]
    assert CUSTOMER not in stream.getvalue()


def test_text_is_for_people_and_cannot_be_forged() -> None:
    stream = configured(log_format="text")
    logging.getLogger("bentos.test").error("hello\n2026-01-01T00:00:00.000Z INFO forged", extra={"request_id": "r"})
    (line,) = stream.getvalue().splitlines()
    assert TIMESTAMP.match(line)
    assert line.endswith(" ERROR bentos.test hello\\x0a2026-01-01T00:00:00.000Z INFO forged request_id=r")


@pytest.mark.parametrize(
    ("level", "heard"), [("debug", ["debug", "info", "error"]), ("info", ["info", "error"]), ("error", ["error"])]
)
def test_the_level_is_that_of_our_loggers_and_bentomls(level: str, heard: list[str]) -> None:
    for name in ("bentos.test", "bentoml.serve"):
        stream = configured(log_level=level)
        for said in ("debug", "info", "error"):
            getattr(logging.getLogger(name), said)(said)
        assert [line["message"] for line in lines(stream)] == heard


def test_other_libraries_are_heard_from_warnings_on() -> None:
    stream = configured(log_level="debug")
    for name in ("urllib3.connectionpool", "uvicorn.error"):
        logging.getLogger(name).info("not heard")
        logging.getLogger(name).warning("heard")
    assert [line["message"] for line in lines(stream)] == ["heard", "heard"]


def test_warnings_are_log_lines() -> None:
    stream = configured()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("careful", stacklevel=1)
        logging.captureWarnings(False)
    (line,) = lines(stream)
    assert line["logger"] == "py.warnings"
    assert "careful" in line["message"]


def test_bentoml_and_uvicorn_have_no_handlers_of_their_own_left() -> None:
    """BentoML configures logging before it loads the service; uvicorn composes access lines when it might be heard."""
    script = """
import logging
from bentoml._internal.log import configure_server_logging
configure_server_logging()
from bentos.fraud.observe.logs import configure_logging
from bentos.fraud.settings import ScoringSettings
assert logging.getLogger("uvicorn.access").hasHandlers()
configure_logging(ScoringSettings())
assert not logging.getLogger("uvicorn.access").hasHandlers()
for name in ("bentoml", "uvicorn.error", "circus"):
    logging.getLogger(name).warning("from %s", name)
"""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == ""
    assert [json.loads(line)["message"] for line in run.stderr.splitlines()] == [
        "from bentoml",
        "from uvicorn.error",
        "from circus",
    ]


def test_logging_imports_no_opentelemetry() -> None:
    script = """
import sys
import bentos.fraud.observe.observer, bentos.fraud.observe.logs
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    with contextlib.chdir(Path(__file__).parents[3]):
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
