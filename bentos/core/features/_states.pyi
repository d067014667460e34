from typing import Any

from numpy.typing import NDArray

DONE: int
FULL: int
NO_SPACE: int
BUSY: int
DAMAGED: int
COUNT: int
FRAUDS: int
TOTAL: int
SQUARES: int
EXACT_EVENTS: int
MAXIMUM_BUCKETS: int
FORMAT_VERSION: int
ROW_BYTES: int

def inspect(fd: int, /) -> tuple[int, bytes, bytes, bytes, int] | None: ...
def start_writing(fd: int, offset: int, size: int, /) -> None: ...
def row_statistics(
    kind: tuple[int, int, bool, tuple[tuple[int, int], ...]],
    events: bytes,
    buckets: bytes,
    own: int,
    time: int,
    out: NDArray[Any],
    column: int,
    /,
) -> None: ...

class States:
    def __new__(
        cls,
        fd: int,
        how: str,
        capacity: int,
        schema: bytes,
        fingerprint: bytes,
        boot: bytes,
        kinds: tuple[tuple[int, int, bool, tuple[tuple[int, int], ...]], ...],
        wait_milliseconds: int,
        /,
    ) -> States: ...
    @property
    def filled(self) -> bool: ...
    @property
    def latest(self) -> int: ...
    @property
    def width(self) -> int: ...
    def lookup(self, rows: bytes, out: NDArray[Any], outcomes: bytearray, now: int, /) -> int: ...
    def label(self, keys: bytes, identity: int, event_time: int, label_time: int, /) -> int: ...
    def fill(
        self, kind: int, hashes: NDArray[Any], offsets: NDArray[Any], buckets: NDArray[Any], cells: NDArray[Any], /
    ) -> tuple[int, int]: ...
    def set_filled(self) -> int: ...
    def carry(self, fd: int, now: int, /) -> tuple[int, int, int]: ...
    def read(self, key: bytes, /) -> tuple[bytes, int]: ...
    def erase(self, key: bytes, /) -> tuple[int, bool]: ...
    def note_latest(self, time: int, /) -> int: ...
    def stats(self) -> dict[str, int]: ...
    def check(self) -> int: ...
    def close(self) -> None: ...
