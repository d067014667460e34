"""Coroutines whose first step is taken at once.

A task begins in the loop's next turn, which costs a look at every socket first; what never waits needs no task at all.
Python 3.12 has this as ``asyncio.eager_task_factory``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from typing import Any, Final

__all__ = ["begin"]

_NOT_WAITING: Final = object()


def begin(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """Run a coroutine up to where it waits, and a task from there on.

    In its first step there is no current task, which ``asyncio.timeout`` and the like would ask for.

    Parameters
    ----------
    loop
        Which runs now.
    coroutine
        Not begun.

    Returns
    -------
    Task or None
        None when it has ended. An error that ends the first step goes to the loop's exception handler, as a task's does
        that nobody asks for its result.
    """
    context = copy_context()
    try:
        waited = context.run(coroutine.send, None)
    except StopIteration:
        return None
    except Exception as error:  # noqa: BLE001 - reported as any task's
        message = f"{coroutine!r} raised an exception that nobody handled"
        loop.call_exception_handler({"message": message, "exception": error})
        return None
    return loop.create_task(_Begun(coroutine, waited), context=context)


class _Begun(Coroutine[Any, Any, None]):
    """The rest of a coroutine; its first step gives what that one waited for."""

    __slots__ = ("_coroutine", "_waited")

    def __init__(self, coroutine: Coroutine[Any, Any, None], waited: object) -> None:
        self._coroutine = coroutine
        self._waited = waited

    def send(self, value: Any) -> Any:
        waited = self._waited
        if waited is not _NOT_WAITING:
            self._waited = _NOT_WAITING
            return waited
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        self._waited = _NOT_WAITING
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._coroutine.__await__()
