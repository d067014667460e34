from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos.fraud.observe.lines import LineWriter

SECONDS = 30.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    # The writer's thread lives as long as the process, and may be in a write.


def test_lines_arrive_in_order(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as opened:
        writer = LineWriter(opened.fileno(), 100_000)
        for number in range(20_000):
            writer.write(f"line {number}\n")
        assert writer.drain(SECONDS)
    assert file.read_text().splitlines() == [f"line {number}" for number in range(20_000)]


def test_lines_come_without_being_asked_for(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], 10)
    for text in (b"one\n", b"two\n"):
        writer.write(text.decode())
        assert os.read(pipe[0], 100) == text


def test_a_blocked_reader_blocks_nobody_and_costs_lines_that_are_counted(
    pipe: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    reading, writing = pipe
    _fill(writing)
    dropped: list[None] = []
    writer = LineWriter(writing, 50)
    writer.count_dropped(lambda: dropped.append(None))
    total = 5_000
    for number in range(total):
        writer.write(f"{number}\n")
    assert not writer.drain(0.2)
    # The thread has up to 50 lines in its hands, 50 wait.
    assert total - 100 <= len(dropped) <= total - 50

    received = bytearray()
    thread = threading.Thread(target=lambda: received.extend(_read_all(reading)))
    thread.start()
    assert writer.drain(SECONDS)
    os.close(writing)
    thread.join(SECONDS)
    numbers = [int(line) for line in received.lstrip(b".").decode().splitlines()]
    assert numbers == sorted(numbers)
    assert len(numbers) + len(dropped) == total
    assert f"{len(dropped)} lines of this log are lost" in caplog.text


def test_lines_of_several_processes_do_not_mix(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    script = """
import sys
from bentos.fraud.observe.lines import LineWriter
writer = LineWriter(1, 100_000)
name = sys.argv[1]
for number in range(3_000):
    filling = name * (number % 300)
    writer.write('{"worker": "%s", "number": %d, "filling": "%s"}\\n' % (name, number, filling))
assert writer.drain(60)
"""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, name],
            stdout=writing,
            env={"PYTHONPATH": str(Path(__file__).parents[3])},
        )
        for name in "abc"
    ]
    os.close(writing)
    found = [json.loads(line) for line in _read_all(reading).splitlines()]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    for name in "abc":
        assert [line["number"] for line in found if line["worker"] == name] == list(range(3_000))


def test_a_reader_that_left_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LineWriter(writing, 10)
    for _ in range(3):
        writer.write("nobody hears this\n")
        assert writer.drain(SECONDS)
    os.close(writing)


def _fill(descriptor: int) -> None:
    os.set_blocking(descriptor, False)
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(descriptor, b"." * size)
    os.set_blocking(descriptor, True)


def _read_all(descriptor: int) -> bytes:
    parts = []
    while part := os.read(descriptor, 1 << 16):
        parts.append(part)
    return b"".join(parts)
