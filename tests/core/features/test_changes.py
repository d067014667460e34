"""A round copies a store in memory as it was at one instant, whatever is done to it meanwhile."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest

from bentos.core.features import _states
from bentos.core.features.clock import DAY, HOUR, MINUTE
from bentos.core.features.history import KINDS
from bentos.core.features.window_statistics import SPECIFICATION, WIDTH
from tests.core.features.stored import ROW, SECRET

NOW = 1_800_000_000_000_000
#: Some events an hour, so that hours are begun and added to.
STEP = 8 * MINUTE
CUSTOMERS = 3_000
#: Place of the number of pages put aside and of the room for them, and the most there is; see _states_changes.c.
ASIDE, ASIDE_PAGES = 32, 16384
#: Of the header the lock, what of the journal is used, and the round; and the journal; see _states.h.
VOLATILE = (slice(128, 200), slice(800, 808), slice(4096, 4096 + 256 * 1024))


def stable(content: bytes) -> bytes:
    """A store's content without what belongs to the processes that have it open."""
    result = bytearray(content)
    for part in VOLATILE:
        result[part] = bytes(len(result[part]))
    return bytes(result)


class Original:
    """A store in memory, its changes, and their copy."""

    def __init__(self) -> None:
        self.fds = [os.memfd_create(name) for name in ("states", "changes", "copy")]
        self.states = self.opened("create")
        self.generator = np.random.default_rng(3)
        self.number = 0
        self.chunk = bytearray(_states.CHUNK_BYTES)

    def opened(self, how: str) -> _states.States:
        return _states.States(
            self.fds[0], how, 1 << 30, bytes(32), bytes(16), bytes(16), SPECIFICATION, 1000, self.fds[1]
        )

    def content(self, which: int = 0) -> bytes:
        return stable(os.pread(self.fds[which], os.fstat(self.fds[which]).st_size, 0))

    def record(self, count: int) -> None:
        """Events of many customers, few merchants and one category; some are late, some keys are very busy."""
        rows = []
        for number in range(self.number, self.number + count):
            draw = self.generator
            names = (f"c{draw.integers(CUSTOMERS)}", f"m{draw.integers(20)}", "busy")
            keys = (SECRET.key(kind, name) for kind, name in zip(KINDS, names, strict=True))
            late = int(draw.integers(0, 5 * HOUR)) if draw.random() < 0.2 else 0
            rows.append(ROW.pack(*keys, number + 1, NOW + number * STEP - late, 5.0, 1))
        self.number += count
        self.states.lookup(b"".join(rows), np.empty((WIDTH, count)), bytearray(count), NOW + 400 * DAY)

    def change(self) -> None:
        """Do some of everything that changes a store."""
        self.record(int(self.generator.integers(1, 120)))
        names = (f"c{self.generator.integers(CUSTOMERS)}", f"m{self.generator.integers(20)}", "busy")
        keys = [SECRET.key(kind, name) for kind, name in zip(KINDS, names, strict=True)]
        number = int(self.generator.integers(self.number))
        until = NOW + (number + 1) * STEP
        assert self.states.label(b"".join(keys), number + 1, NOW + number * STEP, until) == _states.DONE
        assert self.states.label(b"".join(keys), 1, NOW, until, bytes(range(16)), self.number) == _states.DONE
        assert self.states.erase(keys[0])[0] == _states.DONE

    def take(self) -> int:
        """Take and write the next pages."""
        taken = self.states.take_pages(self.chunk)
        if taken:
            _states.write_pages(self.fds[2], self.chunk)
        return taken

    def begin(self) -> int:
        taken = self.states.begin_copy(self.chunk)
        if taken:
            _states.write_pages(self.fds[2], self.chunk)
        return taken

    def round(self) -> None:
        self.begin()
        while self.take():
            pass
        self.states.end_copy(NOW)


def test_a_copy_is_of_one_instant_whatever_happens_meanwhile() -> None:
    store = Original()
    store.record(20_000)
    longest = 0
    for _ in range(12):
        for _ in range(store.generator.integers(1, 30)):
            store.change()
        expected = store.content()
        assert store.begin() == 1
        turns = 0
        store.change()
        while store.take():
            store.change()
            turns += 1
        store.states.end_copy(NOW)
        copied = store.content(2)
        assert copied[: len(expected)] == expected
        assert store.states.copying is not None
        assert store.states.copying[2:4] == (True, False)
        longest = max(longest, turns)
    assert longest > 2
    store.round()
    assert store.content(2) == store.content()


def test_nothing_is_copied_when_nothing_has_changed() -> None:
    store = Original()
    store.record(10)
    store.round()
    assert store.states.want_copy() == 1
    before = store.states.copying
    assert before is not None
    assert not before[2]
    assert store.begin() == 0
    store.states.end_copy(NOW + 1)
    assert store.states.copying == (*before[:4], NOW + 1, before[5])
    store.record(1)
    assert store.states.want_copy() == before[0] + 1
    assert store.begin() == 1


def test_what_a_copier_took_before_it_was_killed_is_copied_again() -> None:
    store = Original()
    store.record(20_000)
    store.round()
    store.change()
    store.begin()
    # Its page never reaches the copy.
    store.states.take_pages(store.chunk)
    store.change()
    store.round()
    assert store.content(2) == store.content()


def test_changes_that_are_lost_make_every_page_a_changed_one() -> None:
    store = Original()
    store.record(2_000)
    store.round()
    store.states.close()
    os.truncate(store.fds[1], 0)
    os.truncate(store.fds[2], 0)
    store.states = store.opened("recover")
    store.round()
    assert store.content(2) == store.content()


def test_those_of_another_store_do_as_little_harm() -> None:
    store, other = Original(), Original()
    store.record(2_000)
    store.round()
    store.states.close()
    with pytest.raises(ValueError, match="damaged"):
        _states.States(
            store.fds[0], "join", 1 << 30, bytes(32), bytes(16), bytes(16), SPECIFICATION, 1000, other.fds[1]
        )
    store.fds[1] = other.fds[1]
    os.truncate(store.fds[2], 0)
    store.states = store.opened("recover")
    store.round()
    assert store.content(2) == store.content()


def test_without_room_for_what_is_put_aside_the_copy_is_torn_and_the_next_is_not() -> None:
    store = Original()
    store.record(5_000)
    store.round()
    store.change()
    store.begin()
    # As if 64 MB had been put aside.
    os.pwrite(store.fds[1], struct.pack("=QQ", ASIDE_PAGES, ASIDE_PAGES), ASIDE)
    store.change()
    os.pwrite(store.fds[1], bytes(16), ASIDE)
    while store.take():
        pass
    store.states.end_copy(NOW)
    assert store.states.copying is not None
    assert store.states.copying[3]
    store.round()
    assert store.states.copying is not None
    assert not store.states.copying[3]
    assert store.content(2) == store.content()


@pytest.mark.parametrize("size", [0, 4096, 5])
def test_a_chunk_of_another_size_is_refused(size: int) -> None:
    store = Original()
    with pytest.raises(ValueError, match="a chunk has"):
        store.states.begin_copy(bytearray(size))
    with pytest.raises(ValueError, match="a chunk has"):
        _states.write_pages(store.fds[2], bytearray(size))


@pytest.mark.parametrize("count", [0, 257, 2**64 - 1])
def test_a_chunk_of_no_pages_or_too_many_is_not_written(count: int) -> None:
    store = Original()
    store.chunk[:8] = count.to_bytes(8, "little")
    with pytest.raises(OSError, match="Invalid argument"):
        _states.write_pages(store.fds[2], store.chunk)
    assert os.fstat(store.fds[2]).st_size == 0
