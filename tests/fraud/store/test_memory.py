"""States lie in memory and a file is their copy: which of them decides, and who may use them."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bentos.core.errors import Unavailable
from bentos.core.features.definitions import FEATURE_SCHEMA
from bentos.core.features.history import CUSTOMER
from bentos.fraud.store import EmbeddedStore, memory
from bentos.fraud.store.memory import MemoryPlace
from tests.core.features.test_changes import stable
from tests.fraud.store.payments import BOOT, SECRET, count_30d, look_up, payment

#: Place in the header; see _states.h.
SCHEMA = 16
Opener = Callable[..., EmbeddedStore]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO):
        yield caplog


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The folder in memory of a machine."""
    folder = tmp_path / "memory"
    folder.mkdir()
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Of the store; not there yet."""
    return tmp_path / "disk" / "features.states"


@pytest.fixture
def opened(disk: Path, machine: Path) -> Iterator[Opener]:
    """Opens the store, as each process does."""
    stores = []

    def open_store(
        folder: Path | None = machine, capacity_bytes: int = 1 << 30, *, paced: bool = False
    ) -> EmbeddedStore:
        stores.append(EmbeddedStore(disk, SECRET, capacity_bytes, memory=folder, paced=paced))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def record(store: EmbeddedStore, first: int = 0, count: int = 2000) -> None:
    """Payments of 200 customers in turn."""
    look_up(store, *(payment(number, f"c{number % 200}") for number in range(first, first + count)))


def write(path: Path, place: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(content)


def forget(machine: Path) -> None:
    """What a reboot does to memory."""
    for path in machine.iterdir():
        path.unlink()


def test_processes_share_what_lies_in_memory(opened: Opener, disk: Path, machine: Path) -> None:
    first, second = opened(), opened()
    record(first)
    assert count_30d(second, "c7") == 10
    assert first.stats()["in_memory"] == second.stats()["in_memory"] == 1
    assert {path.suffix for path in machine.iterdir()} == {".states", ".changes"}
    assert [path.stat().st_mode & 0o077 for path in (*machine.iterdir(), *disk.parent.iterdir())] == [0, 0, 0, 0][:3]


def test_a_close_brings_the_disk_up_to_date(opened: Opener, disk: Path, machine: Path) -> None:
    store = opened()
    record(store)
    store.erase(CUSTOMER, "c3")
    store.close()
    assert stable(disk.read_bytes()) == stable(MemoryPlace(machine, disk).states.read_bytes())


def test_every_process_that_closes_brings_its_changes_to_the_disk(opened: Opener, disk: Path, machine: Path) -> None:
    server, command = opened(paced=True), opened()
    record(command)
    command.close()
    shutil.copytree(disk.parent, disk.parent.with_name("taken"))
    record(server, 2000)
    server.close()
    for folder, events in (("taken", 10), ("disk", 20)):
        copy = EmbeddedStore(disk.parent.with_name(folder) / disk.name, SECRET, 1 << 30, memory=machine.parent)
        assert count_30d(copy, "c7") == events
        copy.close()


def test_after_a_reboot_the_file_decides(
    opened: Opener, disk: Path, machine: Path, log: pytest.LogCaptureFixture
) -> None:
    store = opened()
    record(store)
    store.close()
    write(disk, BOOT, b"another machine.")
    forget(machine)
    store = opened()
    assert "202 keys kept, 0 dropped" in log.text
    assert [count_30d(store, f"c{number}") for number in (0, 7, 199)] == [10, 10, 10]
    store.close()
    log.clear()
    assert count_30d(opened(), "c7") == 10
    assert log.text == ""


def test_what_lies_in_memory_is_used_again(opened: Opener, disk: Path, machine: Path) -> None:
    opened().close()
    before = MemoryPlace(machine, disk).states.stat().st_ino
    store = opened()
    record(store)
    store.close()
    assert count_30d(opened(), "c7") == 10
    assert MemoryPlace(machine, disk).states.stat().st_ino == before


def test_a_file_that_is_gone_begins_anew(opened: Opener, disk: Path) -> None:
    store = opened()
    record(store)
    store.close()
    disk.unlink()
    assert opened().stats()["keys"] == 0


def test_a_file_put_in_its_place_decides(opened: Opener, disk: Path, tmp_path: Path) -> None:
    other = EmbeddedStore(tmp_path / "other.states", SECRET, 1 << 30)
    look_up(other, payment(0, "other"))
    other.close()
    store = opened()
    record(store)
    store.close()
    (tmp_path / "other.states").replace(disk)
    store = opened()
    assert (count_30d(store, "other"), count_30d(store, "c7")) == (1, 0)


def test_an_older_copy_that_is_put_back_decides(opened: Opener, disk: Path, tmp_path: Path) -> None:
    store = opened()
    record(store)
    store.close()
    shutil.copy(disk, tmp_path / "backup")
    store = opened()
    record(store, 2000)
    store.close()
    shutil.copy(tmp_path / "backup", disk)
    assert count_30d(opened(), "c7") == 10


def test_another_container_on_the_same_volume_is_refused_while_one_runs(opened: Opener, tmp_path: Path) -> None:
    other = tmp_path / "other memory"
    other.mkdir()
    store = opened()
    record(store)
    for folder in (other, None):
        with pytest.raises(Unavailable, match="another machine or container"):
            opened(folder)
    store.close()
    # One after the other they find what the one before has left, and not what they had themselves.
    store = opened(other)
    assert count_30d(store, "c7") == 10
    record(store, 2000)
    store.close()
    assert count_30d(opened(), "c7") == 20


def test_a_file_of_another_boot_that_is_in_use_is_refused(opened: Opener, disk: Path) -> None:
    opened()
    write(disk, BOOT, b"another machine.")
    with pytest.raises(Unavailable, match="another machine"):
        opened()


@pytest.mark.parametrize("how", ["a link", "open to others", "another user's"])
def test_what_is_not_the_users_own_is_refused(
    opened: Opener, disk: Path, machine: Path, tmp_path: Path, how: str
) -> None:
    opened().close()
    path = MemoryPlace(machine, disk).states
    if how == "a link":
        path.replace(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    elif how == "open to others":
        path.chmod(0o666)
    elif os.geteuid() == 0:
        os.chown(path, 1000, 1000)
    else:
        pytest.skip("only root can give a file away")
    with pytest.raises(Unavailable, match=path.name):
        opened()


def test_a_folder_that_is_missing_leaves_the_file_mapped(
    opened: Opener, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    store = opened(tmp_path / "nowhere", paced=True)
    record(store)
    assert count_30d(opened(tmp_path / "nowhere"), "c7") == 10
    assert store.stats()["in_memory"] == 0
    assert sum("FRAUD_FEATURE_MEMORY_FOLDER" in item.message for item in log.records) == 1


def test_a_folder_that_is_too_small_leaves_the_file_mapped_until_it_is_not(
    opened: Opener, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    record(store)
    store.close()
    opened(None).close()
    with monkeypatch.context() as patch:
        patch.setattr(memory, "_LEAST_BYTES", 1 << 60)
        store = opened(capacity_bytes=1 << 45, paced=True)
        assert "MB left" in log.text
        assert store.stats()["in_memory"] == 0
        assert count_30d(store, "c7") == 10
        record(store, 2000)
        store.close()
    store = opened()
    assert store.stats()["in_memory"] == 1
    assert count_30d(store, "c7") == 20


def test_twice_the_store_must_fit(machine: Path, disk: Path) -> None:
    place = MemoryPlace(machine, disk)
    assert place.lacks(1 << 59, 1 << 61) is not None
    assert place.lacks(1 << 20, 16 << 20) is None


_FULL = """
import resource, sys
from pathlib import Path
from tests.fraud.store.payments import *
store = EmbeddedStore(Path(sys.argv[1]), SECRET, 1 << 30, memory=Path(sys.argv[2]))
assert store.stats()["in_memory"]
look_up(store, payment(0))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
for start in range(1, 20_001, 1000):
    rows = look_up(store, *(payment(n, f"c{n}") for n in range(start, start + 1000)))
    assert set(rows.degraded) == {()}
assert "memory" in store.check(), store.check()
assert count_30d(store) == 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
look_up(store, *(payment(n, f"d{n}") for n in range(30_000, 31_000)))
assert count_30d(store, "d30999") == 1
store.close()
print("survived")
"""


def test_memory_that_is_full_stops_recording_and_nothing_else(disk: Path, machine: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(disk), str(machine)], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "survived\n"), done.stderr


def test_a_store_of_the_first_format_is_taken_over(opened: Opener, disk: Path) -> None:
    disk.parent.mkdir()
    disk.write_bytes(gzip.decompress(Path(__file__).with_name("format1.states.gz").read_bytes()))
    # Features may change, formats do not.
    write(disk, SCHEMA, bytes.fromhex(FEATURE_SCHEMA))
    for folder in (None, disk.parent):
        store = opened(folder)
        assert [count_30d(store, f"c{number}") for number in (0, 9)] == [10, 10]
        store.close()


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "mapped"])
def test_of_who_is_erased_no_byte_stays(opened: Opener, disk: Path, machine: Path, in_memory: bool) -> None:
    store = opened(machine if in_memory else None)
    # Their blocks move and their segments are split meanwhile.
    for start in range(0, 60, 20):
        record(store, start * 200, 4000)
    look_up(store, *(payment(20_000 + number, f"other{number}") for number in range(2000)))
    store.close()
    key = SECRET.key(CUSTOMER, "c3")
    assert key in disk.read_bytes()
    store = opened(machine if in_memory else None)
    assert store.erase(CUSTOMER, "c3")
    store.close()
    for path in disk.parent.iterdir():
        # What is mapped holds its journal, of which the next transaction writes over the first bytes.
        assert key not in (path.read_bytes() if in_memory else stable(path.read_bytes())), path
    assert count_30d(opened(machine if in_memory else None), "c4") == 60
