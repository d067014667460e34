from typing import Any

from numpy.typing import NDArray

BLOCK: int
INSTRUCTIONS: tuple[str, ...]

class Forest:
    def __new__(
        cls,
        offsets: NDArray[Any],
        right: NDArray[Any],
        feature: NDArray[Any],
        threshold: NDArray[Any],
        cover: NDArray[Any],
        value: NDArray[Any],
        features: int,
        points: NDArray[Any],
        weights: NDArray[Any],
        /,
    ) -> Forest: ...
    @property
    def base_value(self) -> float: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def scratch_nbytes(self) -> int: ...
    @property
    def depth(self) -> int: ...
    @property
    def points(self) -> int: ...
    def contributions(self, rows: NDArray[Any], out: NDArray[Any], instructions: str | None = None, /) -> None: ...
