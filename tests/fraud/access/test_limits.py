"""Rate limits are exact, whatever the number of processes that share them."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from bentos.core.errors import Overloaded
from bentos.fraud.access import limits
from bentos.fraud.access.limits import Bucket, Buckets, limits_file

#: Nothing flows back in while a test runs.
SLOW = 1e-6
SECONDS = 30.0


def _taken(bucket: Bucket, most: int = 10_000) -> int:
    for count in range(most):
        try:
            bucket.take()
        except Overloaded:
            return count
    return most


def test_a_burst_is_let_in_and_no_more() -> None:
    buckets = Buckets()
    assert _taken(buckets.bucket("a", SLOW, 25)) == 25
    assert _taken(buckets.bucket("b", SLOW, 3)) == 3
    assert _taken(buckets.bucket("a", SLOW, 25)) == 0


def test_the_refusal_says_when_there_is_room() -> None:
    bucket = Buckets().bucket("a", 0.5, 1)
    bucket.take()
    with pytest.raises(Overloaded, match=r"'a' has asked more than its 0\.5 rows a second") as caught:
        bucket.take()
    assert caught.value.retry_after_seconds == 2


@pytest.mark.parametrize("uptime", [0.1, 12_345.678_901, 9_999_999.999_999, 3e8 + 0.7])
@pytest.mark.parametrize("rate", [3.0, 1000.0, 333_333.0])
def test_a_clock_that_has_run_for_long_takes_no_row(
    monkeypatch: pytest.MonkeyPatch, uptime: float, rate: float
) -> None:
    monkeypatch.setattr(limits, "monotonic_ns", lambda: int(uptime * 1e9))
    assert [_taken(Buckets().bucket("a", rate, burst)) for burst in (1, 2, 100)] == [1, 2, 100]


def test_it_flows_in_again() -> None:
    bucket = Buckets().bucket("a", 1000.0, 1)
    bucket.take()
    for _ in range(100_000):
        with contextlib.suppress(Overloaded):
            bucket.take()
            return
    pytest.fail("no row came back")


def test_rows_that_are_known_late_bring_the_bucket_into_debt() -> None:
    bucket = Buckets().bucket("a", 10.0, 10)
    bucket.take()
    bucket.charge(999)
    with pytest.raises(Overloaded) as caught:
        bucket.take()
    # 1,000 rows were taken of 10, and one more is wanted: 991 are to flow in, less what has meanwhile.
    assert 90 <= caught.value.retry_after_seconds <= 100


def test_many_callers_do_not_disturb_each_other() -> None:
    buckets = Buckets()
    callers = [buckets.bucket(f"caller-{number}", SLOW, 2) for number in range(3000)]
    assert [_taken(caller) for caller in callers] == [2] * 3000
    assert sum(_taken(caller) for caller in callers) == 0


def test_a_full_group_gives_the_slot_of_who_owes_least() -> None:
    buckets = Buckets()
    same: list[Bucket] = []
    number = 0
    while len(same) < 17:
        candidate = buckets.bucket(f"caller-{number}", SLOW, 2 + len(same))
        number += 1
        if candidate._group == 0:
            same.append(candidate)
    for bucket in same:
        bucket.take()
    # The first gave its slot to the last, so it starts anew; it does not share with anybody.
    assert _taken(same[16]) == 17
    assert _taken(same[0]) == 2


def _take_all(file: Path, start: multiprocessing.synchronize.Event, results: multiprocessing.Queue[int]) -> None:
    bucket = Buckets(file).bucket("shop", SLOW, 2000)
    start.wait(SECONDS)
    results.put(_taken(bucket))


def test_processes_share_one_limit_exactly(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    workers = [context.Process(target=_take_all, args=(tmp_path / "limits", start, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    start.set()
    taken = [results.get(timeout=SECONDS) for _ in workers]
    for worker in workers:
        worker.join(SECONDS)
    assert sum(taken) == 2000, taken


def _hold(file: Path, ready: multiprocessing.synchronize.Event) -> None:
    buckets = Buckets(file)
    for group in range(4096):
        assert buckets.lock(group)
    ready.set()
    signal.pause()


def test_who_is_stopped_or_killed_with_a_lock_stops_nobody(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "limits", ready))
    holder.start()
    try:
        assert ready.wait(SECONDS)
        assert holder.pid is not None
        os.kill(holder.pid, signal.SIGSTOP)
        buckets = Buckets(tmp_path / "limits")
        assert _taken(buckets.bucket("shop", SLOW, 5)) == 5
        holder.kill()
        holder.join(SECONDS)
        assert buckets.lock(0), "the kernel gives the lock of a killed process back"
    finally:
        holder.kill()
        holder.join(SECONDS)


def test_another_boot_has_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = limits_file(tmp_path)
    assert before == limits_file(tmp_path)
    other = tmp_path / "boot_id"
    other.write_text("another\n")
    monkeypatch.setattr("bentos.fraud.access.limits._BOOT_ID", other)
    assert limits_file(tmp_path) != before


def test_the_lock_is_the_files(tmp_path: Path) -> None:
    buckets = Buckets(tmp_path / "limits")
    buckets.bucket("shop", 1.0, 1).take()
    with (tmp_path / "limits").open("r+b") as other:
        fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
