"""Threads that work ahead: while one thing is used, the next ones are made.

What they run is compiled for the most part, and does not hold Python's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

Item = TypeVar("Item")
Made = TypeVar("Made")


def ahead(
    make: Callable[[Item], Made],
    items: Iterable[Item],
    *,
    threads: int = 1,
    weigh: Callable[[Item], int] = lambda _: 0,
    room: int = 0,
) -> Generator[Made, None, None]:
    """What is made of each item, in their order; to be closed by who may leave it before its end.

    Parameters
    ----------
    make
        Runs in threads of its own; what it raises is raised here, when its item's turn comes.
    items
        Taken by the caller's thread, as many ahead as there are threads.
    threads
        So many items are made of at a time. One thread takes them in their order.
    weigh, room
        No more is taken ahead while what is waited for weighs more than there is room for.
    """
    waiting: deque[tuple[Future[Made], int]] = deque()
    held = 0
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                weight = weigh(item)
                waiting.append((pool.submit(make, item), weight))
                held += weight
                del item
                while len(waiting) > threads or held > room:
                    made, weight = waiting.popleft()
                    yield made.result()
                    held -= weight
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            for made, _ in waiting:
                made.cancel()
