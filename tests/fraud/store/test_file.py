"""What becomes of files that are full, damaged, from elsewhere, or from before the machine went down."""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos.core.errors import ArtifactIncompatible, Unavailable
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.fraud.store import EmbeddedStore
from tests.fraud.store.payments import BOOT, SECRET, count_30d, historic, look_up, open_store, payment

#: Places in the header; see _states.h.
VERSION, SCHEMA = 8, 16


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A store's file with 200 customers of ten transactions, closed."""
    store = open_store(tmp_path)
    look_up(store, *(payment(number, f"c{number % 200}") for number in range(2000)))
    store.close()
    return tmp_path / "features.states"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO):
        yield caplog


def write(path: Path, place: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(content)


def test_what_was_recorded_is_there_when_the_server_starts_again(filled: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert [count_30d(store, f"c{number}") for number in (0, 7, 199)] == [10, 10, 10]
    assert store.stats()["keys"] == 202


def test_only_the_owner_may_read_it(filled: Path) -> None:
    assert filled.stat().st_mode & 0o077 == 0


def test_after_another_boot_every_state_is_verified(
    filled: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    write(filled, BOOT, b"another machine.")
    store = open_store(tmp_path)
    assert "202 keys kept, 0 dropped" in log.text
    assert [count_30d(store, f"c{number}") for number in (0, 7, 199)] == [10, 10, 10]
    store.close()
    log.clear()
    open_store(tmp_path)
    assert log.text == ""


def test_a_torn_page_costs_its_own_keys(filled: Path, tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    store = open_store(tmp_path)
    used = store.stats()["used_bytes"]
    store.close()
    write(filled, BOOT, b"another machine.")
    # A page of states that never reached the disk.
    write(filled, used // 4096 * 4096 - 4096, bytes(4096))
    store = open_store(tmp_path)
    stats = store.stats()
    assert 0 < stats["dropped"] < 30
    assert stats["keys"] == 202 - stats["dropped"]
    assert f"{stats['dropped']} dropped" in log.text


@pytest.mark.parametrize("left", [300_000, 400_000])
def test_a_truncated_file_keeps_what_is_sound(filled: Path, tmp_path: Path, left: int) -> None:
    os.truncate(filled, left)
    store = open_store(tmp_path)
    assert store.check() is None
    look_up(store, payment(0, "new"))
    assert count_30d(store, "new") == 1


@pytest.mark.parametrize("content", [b"not a store" * 100, b"SQLite format 3\0" + bytes(8192), os.urandom(600_000)])
def test_a_file_of_something_else_is_moved_aside(tmp_path: Path, log: pytest.LogCaptureFixture, content: bytes) -> None:
    path = tmp_path / "features.states"
    path.write_bytes(content)
    store = open_store(tmp_path)
    look_up(store, payment(0))
    assert count_30d(store) == 1
    (aside,) = tmp_path.glob("features.states.damaged-*")
    assert aside.read_bytes() == content
    assert aside.name in log.text


def test_a_file_whose_maker_was_killed_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "features.states").write_bytes(bytes(1 << 20))
    assert open_store(tmp_path).stats()["keys"] == 0


@pytest.mark.parametrize(
    ("place", "content", "name"), [(VERSION, b"\x63\0\0\0", "format 99"), (SCHEMA, b"\xab" * 32, "feature_schema abab")]
)
def test_a_file_of_another_program_is_refused(
    filled: Path, tmp_path: Path, place: int, content: bytes, name: str
) -> None:
    write(filled, place, content)
    before = filled.read_bytes()
    with pytest.raises(ArtifactIncompatible, match=name):
        open_store(tmp_path)
    assert filled.read_bytes() == before


def test_another_pseudonym_key_is_refused_beside_a_running_worker(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(ArtifactIncompatible, match="FRAUD_PSEUDONYM_KEY"):
        EmbeddedStore(tmp_path / "features.states", Pseudonyms("other"))
    assert store.check() is None


def test_a_file_that_another_machine_has_open_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    write(tmp_path / "features.states", BOOT, b"another machine.")
    with pytest.raises(Unavailable, match="another machine"):
        open_store(tmp_path)
    store.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=r"features\.states"):
        EmbeddedStore(tmp_path / "file" / "features.states", SECRET)


def test_at_its_capacity_rows_are_scored_and_not_recorded(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    now = 1_780_000_000_000_000
    store = open_store(tmp_path, 2 << 20, lambda: now)
    look_up(store, payment(0))
    for start in range(1, 6001, 100):
        rows = look_up(store, *(payment(n, f"c{n}", f"m{n}") for n in range(start, start + 100)))
        assert set(rows.degraded) == {()}
    assert "capacity" in str(store.check())
    # A known customer's block still has room.
    assert historic(look_up(store, payment(6001, "c0"), payment(6002, "c0"))).tolist() == [2, 3]
    assert count_30d(store, "c5999") == 0
    assert 0 < store.stats()["unrecorded"] < 6000
    assert sum("capacity" in record.message for record in log.records) == 1
    assert (tmp_path / "features.states").stat().st_size <= 2 << 20
    # Keys whose time is over make room.
    later = 60 * 24 * 90
    now += later * 60_000_000
    look_up(store, payment(later, "c0"))
    look_up(store, *(payment(later + n, f"later{n}", f"m{n}") for n in range(500)))
    assert store.stats()["reclaimed"] > 0
    assert historic(look_up(store, payment(later + 600, "later499"), record=False)).tolist() == [2]
    now += 120_000_000
    assert store.check() is None


def test_keys_whose_time_is_over_make_room_long_before_the_capacity(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for month in range(12):
        start = month * 60 * 24 * 30
        look_up(store, *(payment(start + n, f"c{month}.{n}") for n in range(1500)))
    stats = store.stats()
    assert stats["reclaimed"] + stats["keys"] == 12 * 1500 + 2
    # Those of some three months remain, of twelve.
    assert stats["keys"] < 9000


_FULL_DISK = """
import resource, sys
from pathlib import Path
from tests.fraud.store.payments import *
store = open_store(Path(sys.argv[1]))
look_up(store, payment(0))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
for start in range(1, 20_001, 1000):
    rows = look_up(store, *(payment(n, f"c{n}") for n in range(start, start + 1000)))
    assert set(rows.degraded) == {()}
assert "disk" in store.check(), store.check()
assert count_30d(store) == 1
assert store.stats()["unrecorded"] > 10_000
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
look_up(store, *(payment(n, f"d{n}") for n in range(30_000, 31_000)))
assert count_30d(store, "d30999") == 1
print("survived")
"""


def test_a_full_disk_stops_recording_and_nothing_else(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "survived\n"), done.stderr


def test_no_disk_for_the_file_at_all_is_named(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(Unavailable, match="cannot be opened"):
            open_store(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert count_30d(open_store(tmp_path)) == 0


def test_a_closed_store_refuses_and_does_not_crash(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.close()
    store.close()
    with pytest.raises(ValueError, match="closed"):
        store.stats()
    assert store.check() is not None
