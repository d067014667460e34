"""Work on many rows, piece by piece, by several threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

__all__ = ["in_pieces"]


def in_pieces(work: Callable[[slice], None], rows: int, step: int, threads: int) -> None:
    """Do every piece of ``step`` rows once, in any order and at the same time.

    The pieces are the same for any number of threads, so that results are equal to the bit. The threads end with the
    call: none is left that a fork would lose or that would spin, and starting them costs a tenth of a millisecond.

    Parameters
    ----------
    work
        Does the rows of a piece; may run in another thread, where it should leave the GIL.
    rows
        How many there are.
    step
        Rows of a piece.
    threads
        At most; a lone piece is done by the caller's.
    """
    pieces = [slice(start, start + step) for start in range(0, rows, step)]
    if threads == 1 or len(pieces) < 2:
        for piece in pieces:
            work(piece)
        return
    with ThreadPoolExecutor(min(threads, len(pieces)), "explain") as pool:
        for _ in pool.map(work, pieces):  # raises what a piece raised
            pass
