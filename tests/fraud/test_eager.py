"""A first step at once, and a task for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from bentos.fraud.eager import begin

NAME: ContextVar[str] = ContextVar("NAME", default="caller")


def _begun(work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    return begin(asyncio.get_running_loop(), work)


def test_what_does_not_wait_has_ended() -> None:
    done = []

    async def work() -> None:
        done.append(NAME.get())
        NAME.set("work")

    async def main() -> None:
        assert _begun(work()) is None
        assert done == ["caller"]
        assert NAME.get() == "caller"

    asyncio.run(main())


@pytest.mark.parametrize("waits", ["turn", "future", "both"])
def test_what_waits_goes_on_as_a_task_in_its_own_context(waits: str) -> None:
    steps: list[object] = []

    async def main() -> None:
        gate = asyncio.get_running_loop().create_future()

        async def work() -> None:
            NAME.set("work")
            steps.append("begun")
            if waits != "future":
                await asyncio.sleep(0)
            if waits != "turn":
                steps.append(await gate)
            steps.extend((NAME.get(), asyncio.current_task()))

        task = _begun(work())
        assert steps == ["begun"]
        gate.set_result("open")
        assert task is not None
        await task
        assert steps == ["begun", *(["open"] if waits != "turn" else []), "work", task]
        assert NAME.get() == "caller"

    asyncio.run(main())


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_it_is_cancelled_where_it_waits(turns: int) -> None:
    ended = []

    async def main() -> None:
        async def work() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        task = _begun(work())
        assert task is not None
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == ["cancelled"]


@pytest.mark.parametrize("late", [False, True])
def test_errors_are_told(late: bool) -> None:
    async def work() -> None:
        if late:
            await asyncio.sleep(0)
        raise ValueError("wrong")

    async def main() -> None:
        told: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        task = _begun(work())
        if not late:
            assert task is None
            assert [str(context["exception"]) for context in told] == ["wrong"]
            return
        assert task is not None
        with pytest.raises(ValueError, match="wrong"):
            await task

    asyncio.run(main())


def test_one_that_is_never_gone_on_with_is_closed() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            ended.append(True)

    loop = asyncio.new_event_loop()
    task = begin(loop, work())
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    assert ended == [True]
