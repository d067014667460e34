"""Opens files with wrong bytes in them and uses them; whoever runs this looks whether the process survives.

``python -m tests.core.features.hostile <rounds>`` prints how many of them could be opened.
"""

from __future__ import annotations

import contextlib
import os
import sys

import numpy as np

from bentos.core.features import _states
from bentos.core.features.clock import DAY, HOUR, MINUTE
from bentos.core.features.history import EXACT_EVENTS, KINDS
from bentos.core.features.window_statistics import WIDTH
from tests.core.features.stored import ROW, SECRET, new_states

NOW = 1_800_000_000_000_000
#: Where the header's changing part begins, where the journal and where the heap; see _states.h.
PARTS = ((100, 4096), (100, 800), (4096, 8192), (4096 + 256 * 1024, None), (4096 + 256 * 1024, 300_000))


def rows(generator: np.random.Generator, count: int) -> bytes:
    """Events of a few keys, one of them busy, some of them late."""
    result = []
    for number in range(count):
        names = (f"c{generator.integers(200)}", f"m{generator.integers(3)}", "busy")
        keys = (SECRET.key(kind, name) for kind, name in zip(KINDS, names, strict=True))
        late = int(generator.integers(0, 5 * HOUR)) if generator.random() < 0.2 else 0
        result.append(ROW.pack(*keys, int(generator.integers(1, 2**63)), NOW + number * 8 * MINUTE - late, 5.0, 1))
    return b"".join(result)


def use(states: _states.States, generator: np.random.Generator) -> None:
    """Do everything that can be done with a store."""
    events = rows(generator, 80)
    statistics, outcomes = np.empty((WIDTH, 80)), bytearray(80)
    states.lookup(events, statistics, outcomes, NOW + 100 * DAY)
    for name in ("c1", "m1", "busy"):
        keys = [SECRET.key(kind, name) for kind in KINDS]
        states.label(b"".join(keys), 7, NOW, NOW + DAY)
        for key in keys:
            # Spoilt bytes may say that the lock is held.
            with contextlib.suppress(TimeoutError):
                states.read(key)
    states.stats()
    states.check()


def memory(content: bytes) -> int:
    """A file in memory."""
    descriptor = os.memfd_create("states")
    os.write(descriptor, content)
    return descriptor


def sound_file() -> bytes:
    """Content of a file whose owner was killed."""
    generator = np.random.default_rng(0)
    descriptor = memory(b"")
    states = new_states(descriptor)
    events = rows(generator, EXACT_EVENTS + 600)
    count = len(events) // ROW.size
    states.lookup(events, np.empty((WIDTH, count)), bytearray(count), NOW + 100 * DAY)
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    os.close(descriptor)
    return content


def spoilt(content: bytes, generator: np.random.Generator) -> bytes:
    """The content with some bytes, words or pages changed."""
    result = bytearray(content)
    start, end = PARTS[generator.integers(len(PARTS))]
    for _ in range(generator.integers(1, 30)):
        place = int(generator.integers(start, end or len(content)))
        size = int(generator.choice([1, 1, 2, 8, 64, 4096]))
        what = generator.integers(4)
        if what == 0:
            result[place : place + size] = bytes(size)
        elif what == 1:
            result[place : place + size] = b"\xff" * size
        elif what == 2:
            result[place : place + size] = generator.bytes(size)
        else:
            other = int(generator.integers(0, len(content) - size))
            result[place : place + size] = content[other : other + size]
    cut = int(generator.integers(len(content))) if generator.random() < 0.1 else len(content)
    return bytes(result[:cut])


def main() -> None:
    """Run the rounds."""
    content = sound_file()
    opened = 0
    for seed in range(int(sys.argv[1])):
        generator = np.random.default_rng(seed)
        wrong = spoilt(content, generator)
        descriptor = memory(wrong)
        with contextlib.suppress(ValueError):
            states = new_states(descriptor, "recover", boot=bytes(16))
            opened += 1
            use(states, generator)
            states.close()
        again = memory(wrong)
        fresh_file = memory(b"")
        fresh = new_states(fresh_file)
        fresh.carry(again, NOW)
        use(fresh, generator)
        fresh.close()
        for each in (descriptor, again, fresh_file):
            os.close(each)
    print(opened)


if __name__ == "__main__":
    main()
