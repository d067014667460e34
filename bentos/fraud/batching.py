"""Adaptive micro-batches over one event loop.

An idle worker runs a lone job at once. What arrives while a batch runs forms the next one, so batches grow with the
load and shrink with it, and nobody waits for company. The queue is bounded: what could not be done before its deadline
is refused when it arrives, which costs the caller least.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from math import ceil
from time import monotonic
from typing import Final, Generic, Protocol, TypeVar

from bentos.core.errors import Overloaded

__all__ = ["BatchMetrics", "Batcher", "Job"]

ItemT = TypeVar("ItemT")

#: Weight of the newest batch in the running mean of the cost of a row: the last ten or so count.
_NEWEST: Final = 0.1
#: A batch counts as this many times the mean at most: one that was interrupted says nothing of the next.
_OUTLIER: Final = 4.0
#: Rows that are not shared out: a batch has its own cost.
_SHARED: Final = 8


class _Histogram(Protocol):
    def observe(self, amount: float) -> None: ...


class _Gauge(Protocol):
    def set(self, value: float) -> None: ...


class BatchMetrics(Protocol):
    """What a batcher reports."""

    @property
    def batch_size(self) -> _Histogram: ...

    @property
    def queue_depth(self) -> _Gauge: ...


class Job(Generic[ItemT]):
    """A piece of work: some rows that one caller waits for.

    Parameters
    ----------
    item
        The work; its results are left in it.
    size
        Its rows.
    deadline
        When its caller stops waiting, ``time.monotonic()`` seconds.
    future
        What its caller waits for.
    """

    __slots__ = ("deadline", "future", "item", "size")

    def __init__(self, item: ItemT, size: int, deadline: float, future: asyncio.Future[None]) -> None:
        self.item = item
        self.size = size
        self.deadline = deadline
        self.future = future

    def finish(self) -> None:
        """Tell the caller that the work is done, if it still waits."""
        if not self.future.done():
            self.future.set_result(None)

    def fail(self, error: Exception) -> None:
        """Give the caller an error, if it still waits."""
        if not self.future.done():
            self.future.set_exception(error)


class Batcher(Generic[ItemT]):
    """Runs jobs in batches. Belongs to one event loop.

    Parameters
    ----------
    run
        Does a batch; finishes or fails every job of it. What it raises fails the jobs that are left.
    batch_size
        Rows of a batch at most; a job that is larger is a batch of its own. 1 turns batching off.
    queue_size
        Rows that wait at most.
    metrics
        Where sizes and depth are reported.
    side_by_side
        Batches that run at the same time. More than 1 is for what waits for others: what is there is then shared out,
        so that one batch is worked for while the other waits.
    """

    def __init__(
        self,
        run: Callable[[list[Job[ItemT]]], Awaitable[None]],
        *,
        batch_size: int,
        queue_size: int,
        metrics: BatchMetrics,
        side_by_side: int = 1,
    ) -> None:
        self._run = run
        self._side_by_side = side_by_side
        self._batch_size = batch_size
        self._queue_size = queue_size
        self._metrics = metrics
        # Ordered sets: first in, first out, and a cancelled job leaves at once from wherever it stands.
        self._single: dict[Job[ItemT], None] = {}
        self._bulk: dict[Job[ItemT], None] = {}
        self._waiting = 0
        self._reported = 0
        self._row_seconds = 0.0
        #: How long the loop's last turn took for everything but batches.
        self._turn_seconds = 0.0
        #: Batches under way, and their rows.
        self._busy = 0
        self._taken = 0
        #: Whether a lone job may run in its caller's own step of the loop.
        self._quiet = True
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def backlogged(self) -> bool:
        """Whether a job that came now would miss the next batch."""
        return self._waiting >= self._batch_size

    @property
    def idle(self) -> bool:
        """Whether a lone job would run in its caller's own step of the loop."""
        return self._quiet and not self._busy

    def admit(self) -> None:
        """Refuse when the queue is full; to be asked before any work is done for a call.

        Raises
        ------
        Overloaded
            With the seconds after which the queue has been worked off.
        """
        if self._waiting >= self._queue_size:
            raise Overloaded(
                f"{self._waiting} rows wait already, which is the most; try again later", ceil(self._wait()) or 1
            )

    async def submit(self, item: ItemT, size: int, deadline: float, *, bulk: bool = False) -> None:
        """Do a job and wait for it. Cancelling the wait frees the job's place.

        Parameters
        ----------
        item, size, deadline
            See :class:`Job`.
        bulk
            Whether it only takes the room that others leave in a batch.

        Raises
        ------
        Overloaded
            When the queue is full, the deadline cannot be met, or it passed while the job waited.
        """
        self.admit()
        # What was read in this turn of the loop may have come when the last one began.
        wait = self._wait() + (self._turn_seconds if self._busy else 0.0)
        if monotonic() + wait > deadline:
            raise Overloaded(f"the answer would take {wait:.3f} s, longer than the deadline allows", ceil(wait) or 1)
        # Asking for the running loop is a system call, which checks for a fork.
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        job: Job[ItemT] = Job(item, size, deadline, loop.create_future())
        if self.idle:
            await self._run_alone(job, loop)
            return await job.future
        queue = self._bulk if bulk else self._single
        queue[job] = None
        self._waiting += size
        if self._busy < self._side_by_side:
            self._start(loop)
        try:
            await job.future
        except asyncio.CancelledError:
            if job in queue:
                del queue[job]
                self._waiting -= size
            raise

    async def close(self) -> None:
        """Stop; what waits is refused, and so is what a batch holds. What runs alone ends with its caller."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for job in (*self._single, *self._bulk):
            job.fail(_closing())
        self._single.clear()
        self._bulk.clear()
        self._waiting = 0

    def _wait(self) -> float:
        """Seconds until what waits now is done."""
        return self._waiting * self._row_seconds

    async def _run_alone(self, job: Job[ItemT], loop: asyncio.AbstractEventLoop) -> None:
        """Run a lone job in its caller's own step of the loop, which spares it two turns of the loop.

        Only once a turn: others that came in the same turn form a batch. While batches are larger than one, nobody
        runs alone.
        """
        self._busy, self._quiet = 1, False
        try:
            await self._run_batch([job])
            self._metrics.batch_size.observe(job.size)
        finally:
            self._busy -= 1
            if self._waiting:
                self._start(loop)
            else:
                loop.call_soon(self._turned)

    def _turned(self) -> None:
        self._quiet = not self._busy

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._busy, self._quiet = self._busy + 1, False
        task = loop.create_task(self._work(loop))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        size = 0
        try:
            while self._waiting:
                self._report_depth()
                started = monotonic()
                size = await self._run_batches(until=started + self._turn_seconds)
                # Lets the answers out and the requests in that came meanwhile; a row's share of that is in its cost.
                turned = monotonic()
                await asyncio.sleep(0)
                ended = monotonic()
                self._turn_seconds = ended - turned
                if size:
                    self._learn((ended - started) / size / self._busy)
        finally:
            self._busy -= 1
            self._report_depth()
            if size <= 1:
                loop.call_soon(self._turned)

    async def _run_batches(self, until: float) -> int:
        """Run a batch, and more until some time: reading and refusing in a turn of the loop gets as much, not more.

        Returns
        -------
        int
            Rows that were run.
        """
        rows = 0
        while self._waiting:
            batch = self._next_batch()
            size = sum(job.size for job in batch)
            if size:
                self._taken += size
                try:
                    await self._run_batch(batch)
                finally:
                    self._taken -= size
                self._metrics.batch_size.observe(size)
                rows += size
            if monotonic() >= until:
                break
        return rows

    async def _run_batch(self, batch: list[Job[ItemT]]) -> None:
        try:
            await self._run(batch)
        except asyncio.CancelledError:
            for job in batch:
                job.fail(_closing())
            raise
        except Exception as error:  # noqa: BLE001 - handed to every caller of the batch
            for job in batch:
                job.fail(error)

    def _next_batch(self) -> list[Job[ItemT]]:
        now = monotonic()
        share = ceil((self._waiting + self._taken) / self._side_by_side)
        room = min(self._batch_size, max(share, _SHARED))
        batch: list[Job[ItemT]] = []
        for queue in (self._single, self._bulk):
            for job in self._first(queue, room, alone=not batch):
                del queue[job]
                self._waiting -= job.size
                if job.deadline < now:
                    job.fail(Overloaded("the deadline passed while the request waited; try again"))
                else:
                    batch.append(job)
                    room -= job.size
        return batch

    def _first(self, queue: dict[Job[ItemT], None], room: int, *, alone: bool) -> list[Job[ItemT]]:
        def fitting() -> Iterator[Job[ItemT]]:
            left, first = room, alone
            for job in queue:
                if left <= 0 or (job.size > left and not first):
                    return
                left, first = left - job.size, False
                yield job

        return list(fitting())

    def _learn(self, row_seconds: float) -> None:
        if not self._row_seconds:
            self._row_seconds = row_seconds
        row_seconds = min(row_seconds, _OUTLIER * self._row_seconds)
        self._row_seconds += (row_seconds - self._row_seconds) * _NEWEST

    def _report_depth(self) -> None:
        if self._waiting != self._reported:
            self._reported = self._waiting
            self._metrics.queue_depth.set(self._waiting)


def _closing() -> Overloaded:
    return Overloaded("the server is shutting down; try again")
