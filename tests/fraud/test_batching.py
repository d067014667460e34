from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.core.errors import Overloaded
from bentos.fraud.batching import Batcher, Job

FOREVER = 1e12


class Numbers:
    """What was reported last, and all of it."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def observe(self, amount: float) -> None:
        self.seen.append(amount)

    set = observe


class Reports:
    def __init__(self) -> None:
        self.batch_size = Numbers()
        self.queue_depth = Numbers()


class Doubler:
    """Doubles the numbers in its jobs; waits for ``gate`` first, and fails what is negative."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[list[float]] = []

    async def run(self, jobs: list[Job[list[float]]]) -> None:
        self.batches.append([number for job in jobs for number in job.item])
        await self.gate.wait()
        for job in jobs:
            if min(job.item) < 0:
                job.fail(ValueError("negative"))
            job.item[:] = [2 * number for number in job.item]
            job.finish()


def made(
    doubler: Doubler, *, batch_size: int = 4, queue_size: int = 100, side_by_side: int = 1
) -> tuple[Batcher[list[float]], Reports]:
    reports = Reports()
    sizes = {"batch_size": batch_size, "queue_size": queue_size, "side_by_side": side_by_side}
    return Batcher(doubler.run, metrics=reports, **sizes), reports


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_lone_job_runs_alone() -> None:
    async def main() -> None:
        doubler = Doubler()
        batcher, reports = made(doubler)
        item = [1.5]
        await batcher.submit(item, 1, FOREVER)
        assert item == [3.0]
        assert reports.batch_size.seen == [1]

    asyncio.run(main())


def test_what_arrives_while_a_batch_runs_forms_the_next() -> None:
    async def main() -> None:
        doubler = Doubler()
        batcher, _ = made(doubler)
        doubler.gate.clear()
        first = asyncio.ensure_future(batcher.submit([0.0], 1, FOREVER))
        await settle()
        others = [asyncio.ensure_future(batcher.submit([float(n)], 1, FOREVER)) for n in range(1, 7)]
        await settle()
        doubler.gate.set()
        await asyncio.gather(first, *others)
        assert doubler.batches == [[0.0], [1.0, 2.0, 3.0, 4.0], [5.0, 6.0]]

    asyncio.run(main())


def test_what_waits_is_shared_out_to_batches_side_by_side() -> None:
    async def main() -> None:
        doubler = Doubler()
        batcher, _ = made(doubler, batch_size=64, side_by_side=2)
        doubler.gate.clear()
        jobs = [asyncio.ensure_future(batcher.submit([float(n)], 1, FOREVER)) for n in range(41)]
        await settle()
        # The first ran alone in its caller's step; the others came in the same turn.
        assert [len(batch) for batch in doubler.batches] == [1, 20]
        doubler.gate.set()
        await asyncio.gather(*jobs)
        assert sorted(number for batch in doubler.batches for number in batch) == [float(n) for n in range(41)]
        doubler.batches.clear()
        doubler.gate.clear()
        jobs = [asyncio.ensure_future(batcher.submit([float(n)], 1, FOREVER)) for n in range(5)]
        await settle()
        # What is small is not shared out.
        assert [len(batch) for batch in doubler.batches] == [5]
        doubler.gate.set()
        await asyncio.gather(*jobs)

    asyncio.run(main())


def test_closing_ends_all_batches_side_by_side() -> None:
    async def main() -> None:
        doubler = Doubler()
        batcher, _ = made(doubler, batch_size=16, side_by_side=2)
        doubler.gate.clear()
        batcher._quiet = False
        jobs = [asyncio.ensure_future(batcher.submit([float(n)], 1, FOREVER)) for n in range(40)]
        await settle()
        assert [len(batch) for batch in doubler.batches] == [16, 16]
        await batcher.close()
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert {type(result) for result in results} == {Overloaded}
        assert not batcher.backlogged

    asyncio.run(main())


@given(sizes=st.lists(st.integers(1, 9), max_size=30), limit=st.integers(1, 8), side_by_side=st.integers(1, 3))
def test_every_job_is_done_once_and_batches_keep_their_size(sizes: list[int], limit: int, side_by_side: int) -> None:
    async def main() -> None:
        doubler = Doubler()
        batcher, reports = made(doubler, batch_size=limit, queue_size=10_000, side_by_side=side_by_side)
        items = [[float(index)] * size for index, size in enumerate(sizes)]
        await asyncio.gather(
            *(batcher.submit(item, len(item), FOREVER, bulk=index % 3 == 0) for index, item in enumerate(items))
        )
        assert items == [[2.0 * index] * size for index, size in enumerate(sizes)]
        # A job larger than a batch is one of its own.
        assert all(len(batch) <= limit or len(set(batch)) == 1 for batch in doubler.batches)
        assert sum(reports.batch_size.seen) == sum(sizes)
        assert not batcher.backlogged

    asyncio.run(main())


def test_bulk_takes_only_the_room_that_others_leave() -> None:
    async def main() -> None:
        doubler = Doubler()
        batcher, _ = made(doubler)
        doubler.gate.clear()
        waiting = [asyncio.ensure_future(batcher.submit([0.0], 1, FOREVER))]
        await settle()
        waiting += [asyncio.ensure_future(batcher.submit([100.0], 1, FOREVER, bulk=True)) for _ in range(3)]
        waiting += [asyncio.ensure_future(batcher.submit([1.0], 1, FOREVER)) for _ in range(3)]
        await settle()
        doubler.gate.set()
        await asyncio.gather(*waiting)
        assert doubler.batches[1] == [1.0, 1.0, 1.0, 100.0]

    asyncio.run(main())


def test_callers_of_the_same_moment_share_a_batch() -> None:
    async def main() -> None:
        doubler = Doubler()
        batcher, reports = made(doubler, batch_size=64)
        for _ in range(3):
            await asyncio.gather(*(batcher.submit([1.0], 1, FOREVER) for _ in range(40)))
        # The first did not know of the others; after that nobody runs alone until the load has gone.
        assert reports.batch_size.seen == [1, 39, 40, 40]

    asyncio.run(main())


def test_a_full_queue_refuses_and_recovers() -> None:
    async def main() -> None:
        doubler = Doubler()
        batcher, reports = made(doubler, batch_size=1, queue_size=2)
        doubler.gate.clear()
        running = asyncio.ensure_future(batcher.submit([0.0], 1, FOREVER))
        await settle()
        waiting = [asyncio.ensure_future(batcher.submit([1.0], 1, FOREVER)) for _ in range(2)]
        await settle()
        assert batcher.backlogged
        with pytest.raises(Overloaded) as refused:
            await batcher.submit([2.0], 1, FOREVER)
        assert refused.value.retry_after_seconds >= 1
        with pytest.raises(Overloaded):
            batcher.admit()
        doubler.gate.set()
        await asyncio.gather(running, *waiting)
        await batcher.submit([3.0], 1, FOREVER)
        assert reports.queue_depth.seen[-1] == 0

    asyncio.run(main())


def test_a_cancelled_caller_frees_its_place() -> None:
    async def main() -> None:
        doubler = Doubler()
        batcher, _ = made(doubler, batch_size=1, queue_size=1)
        doubler.gate.clear()
        running = asyncio.ensure_future(batcher.submit([0.0], 1, FOREVER))
        await settle()
        leaving = asyncio.ensure_future(batcher.submit([1.0], 1, FOREVER))
        await settle()
        leaving.cancel()
        await settle()
        staying = asyncio.ensure_future(batcher.submit([2.0], 1, FOREVER))
        await settle()
        doubler.gate.set()
        await asyncio.gather(running, staying)
        assert doubler.batches == [[0.0], [2.0]]
        assert leaving.cancelled()

    asyncio.run(main())


def test_a_caller_cancelled_while_its_batch_runs_disturbs_nobody() -> None:
    async def main() -> None:
        doubler = Doubler()
        batcher, _ = made(doubler)
        doubler.gate.clear()
        both = [asyncio.ensure_future(batcher.submit([1.0], 1, FOREVER)) for _ in range(2)]
        await settle()
        both[0].cancel()
        await settle()
        doubler.gate.set()
        await both[1]
        await batcher.submit([1.0], 1, FOREVER)

    asyncio.run(main())


def test_a_deadline_that_passed_in_the_queue_is_not_worked_for() -> None:
    async def main() -> None:
        doubler = Doubler()
        batcher, _ = made(doubler, batch_size=1)
        doubler.gate.clear()
        running = asyncio.ensure_future(batcher.submit([0.0], 1, FOREVER))
        await settle()
        late = asyncio.ensure_future(batcher.submit([1.0], 1, monotonic() + 0.01))
        await asyncio.sleep(0.05)
        doubler.gate.set()
        await running
        with pytest.raises(Overloaded):
            await late
        assert doubler.batches == [[0.0]]

    asyncio.run(main())


def test_a_deadline_that_cannot_be_met_is_refused_at_once() -> None:
    async def main() -> None:
        doubler = Doubler()
        batcher, _ = made(doubler, batch_size=1)
        with pytest.raises(Overloaded):
            await batcher.submit([0.0], 1, monotonic() - 1)
        assert doubler.batches == []

    asyncio.run(main())


def test_one_job_fails_alone() -> None:
    async def main() -> None:
        doubler = Doubler()
        batcher, _ = made(doubler)
        results = await asyncio.gather(
            *(batcher.submit([number], 1, FOREVER) for number in (1.0, -1.0, 2.0)), return_exceptions=True
        )
        assert [type(result) for result in results] == [type(None), ValueError, type(None)]

    asyncio.run(main())


def test_what_run_raises_fails_the_jobs_that_are_left_and_the_next_batch_runs() -> None:
    async def main() -> None:
        calls: Iterator[bool] = iter([False, True, False])

        async def run(jobs: list[Job[list[float]]]) -> None:
            jobs[0].finish()
            if next(calls):
                raise RuntimeError("broken")

        batcher = Batcher(run, batch_size=4, queue_size=10, metrics=Reports())
        results = await asyncio.gather(*(batcher.submit([0.0], 1, FOREVER) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [type(None), type(None), RuntimeError]
        await batcher.submit([0.0], 1, FOREVER)

    asyncio.run(main())


def test_closing_refuses_what_waits() -> None:
    async def main() -> None:
        doubler = Doubler()
        batcher, _ = made(doubler, batch_size=1)
        doubler.gate.clear()
        waiting = [asyncio.ensure_future(batcher.submit([0.0], 1, FOREVER)) for _ in range(3)]
        await settle()
        await batcher.close()
        doubler.gate.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [type(None), Overloaded, Overloaded]

    asyncio.run(main())
