"""Amounts of a table's windows, as ranges of cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bentos.core.features.windows import FloatArray, IntArray, range_squared_deviations, range_sums

__all__ = ["Cells", "Piece", "RangeAmounts"]


@dataclass(frozen=True, slots=True)
class Cells:
    """Amounts of m cells.

    Parameters
    ----------
    total
        float64 [m]; sum of the amounts in each cell.
    count, squares
        float64 [m]; amounts in each cell, and their squared deviations from the cell's own mean. None when every
        cell is one event.
    """

    total: FloatArray
    count: FloatArray | None = None
    squares: FloatArray | None = None

    def only(self, which: NDArray[np.bool_]) -> Cells:
        """The cells that ``which``, bool [m], names."""
        count = None if self.count is None else self.count[which]
        squares = None if self.squares is None else self.squares[which]
        return Cells(self.total[which], count, squares)


@dataclass(frozen=True, slots=True)
class Piece:
    """Ranges of cells, one for each of some rows. ``rows`` of None means every row of the batch."""

    cells: Cells
    starts: IntArray
    ends: IntArray
    rows: IntArray | None = None

    def pick(self, means: FloatArray) -> FloatArray:
        return means if self.rows is None else means[self.rows]


@dataclass(frozen=True, slots=True)
class RangeAmounts:
    """The amounts in one window of each of n rows, spread over pieces that do not overlap."""

    size: int
    pieces: tuple[Piece, ...]

    def _add_up(self, parts: list[FloatArray]) -> FloatArray:
        result = np.zeros(self.size)
        for piece, part in zip(self.pieces, parts, strict=True):
            if piece.rows is None:
                result += part
            else:
                result[piece.rows] += part
        return result

    def count(self) -> FloatArray:
        """Amounts in each row's window."""
        return self._add_up(
            [
                (piece.ends - piece.starts).astype(np.float64)
                if piece.cells.count is None
                else range_sums(piece.cells.count, piece.starts, piece.ends)
                for piece in self.pieces
            ]
        )

    def total(self) -> FloatArray:
        """Their sum."""
        return self._add_up([range_sums(piece.cells.total, piece.starts, piece.ends) for piece in self.pieces])

    def squares(self, means: FloatArray) -> FloatArray:
        """Sum of their squared deviations from ``means``, float64 [n]."""
        return self._add_up(
            [
                range_squared_deviations(
                    piece.cells.total,
                    piece.starts,
                    piece.ends,
                    piece.pick(means),
                    piece.cells.count,
                    piece.cells.squares,
                )
                for piece in self.pieces
            ]
        )
