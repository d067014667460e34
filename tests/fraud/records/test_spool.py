"""Files of predictions: what was appended is read once, whoever dies when."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.fraud.records.spool import DamagedSpool, SpoolFile, SpoolWriter, framed, spooled, unread_bytes
from bentos.fraud.records.values import Values

RECORD: Values = ("t-1", None, True, 1.5, -3, "ü", b"\x00\xff", 2**62)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "predictions"


def _read(path: Path) -> list[Values]:
    file = SpoolFile(path)
    records: list[Values] = []
    while taken := file.take():
        records += taken
    file.close()
    return records


def test_records_come_back_as_they_were(folder: Path) -> None:
    writer = SpoolWriter(folder)
    writer.append(framed([RECORD, ("t-2",)]))
    writer.append(framed([("t-3",)]))
    (path,) = spooled(folder)
    assert _read(path) == [RECORD, ("t-2",), ("t-3",)]
    writer.close()


def test_nobody_else_may_read_them(folder: Path) -> None:
    writer = SpoolWriter(folder)
    writer.append(framed([RECORD]))
    (path,) = spooled(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    writer.close()


def test_what_was_kept_is_not_read_again(folder: Path) -> None:
    writer = SpoolWriter(folder)
    writer.append(framed([("t-1",)]))
    writer.append(framed([("t-2",)]))
    (path,) = spooled(folder)
    file = SpoolFile(path)
    assert file.take() == [("t-1",)]
    file.keep()
    assert file.take() == [("t-2",)]
    # Its reader dies before the database has it.
    file.close()
    assert _read(path) == [("t-2",)]
    file = SpoolFile(path)
    assert file.take() == [("t-2",)]
    file.back()
    assert file.take() == [("t-2",)]
    file.keep()
    assert unread_bytes(path) == 0
    file.close()
    writer.close()


def test_what_waits_is_told_until_it_is_kept(folder: Path) -> None:
    writer = SpoolWriter(folder)
    frame = framed([RECORD])
    writer.append(frame)
    assert writer.waiting() == writer.appended == len(frame)
    (path,) = spooled(folder)
    file = SpoolFile(path)
    file.take()
    assert writer.waiting() == len(frame)
    file.keep()
    assert writer.waiting() == 0
    file.remove()
    assert writer.waiting() == 0
    file.close()
    writer.close()


def test_a_file_ends_with_its_writer(folder: Path) -> None:
    writer = SpoolWriter(folder)
    writer.append(framed([RECORD]))
    file = SpoolFile(spooled(folder)[0])
    assert not file.ended()
    writer.close()
    assert file.ended()
    file.close()


def test_a_writer_that_was_killed_ends_its_file(folder: Path) -> None:
    child = os.fork()
    if not child:
        SpoolWriter(folder).append(framed([RECORD]))
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    file = SpoolFile(spooled(folder)[0])
    assert file.ended()
    assert file.take() == [RECORD]
    file.close()


def test_a_large_or_old_file_is_followed_by_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bentos.fraud.records.spool._FILE_BYTES", 100)
    writer = SpoolWriter(folder)
    writer.append(framed([("t-1",)]))
    writer.turn()
    writer.append(framed([("t-2", "x" * 100)]))
    assert len(spooled(folder)) == 1
    writer.turn()
    writer.append(framed([("t-3",)]))
    monkeypatch.setattr("bentos.fraud.records.spool._FILE_SECONDS", -1.0)
    writer.turn()
    writer.append(framed([("t-4",)]))
    assert [_read(path)[-1][0] for path in spooled(folder)] == ["t-2", "t-3", "t-4"]
    writer.close()


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 30])
def test_a_frame_that_is_not_whole_is_not_read(folder: Path, cut: int) -> None:
    writer = SpoolWriter(folder)
    writer.append(framed([("t-1",)]))
    writer.close()
    (path,) = spooled(folder)
    whole = path.stat().st_size
    second = framed([("t-2", "x" * 40)])
    with path.open("ab") as stream:
        stream.write(second[:cut])
    file = SpoolFile(path)
    assert file.take() == [("t-1",)]
    with pytest.raises(DamagedSpool, match=f"byte {whole}"):
        file.take()
    # Its writer was in the middle of it.
    with path.open("ab") as stream:
        stream.write(second[cut:])
    assert file.take() == [("t-2", "x" * 40)]
    file.close()


def test_a_disk_that_takes_a_part_gets_the_whole_in_the_next_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SpoolWriter(folder)
    writer.append(framed([("t-1",)]))
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:10]))
    with pytest.raises(OSError, match="No space left"):
        writer.append(framed([("t-2",)]))
    monkeypatch.undo()
    writer.append(framed([("t-2",)]))
    assert [_read(path) for path in spooled(folder)] == [[("t-1",)], [("t-2",)]]
    writer.close()


@given(at=st.integers(0, 200), flip=st.integers(1, 255))
def test_what_is_not_what_was_written_is_noticed(tmp_path_factory: pytest.TempPathFactory, at: int, flip: int) -> None:
    folder = tmp_path_factory.mktemp("spool")
    writer = SpoolWriter(folder)
    writer.append(framed([RECORD, RECORD]))
    writer.close()
    (path,) = spooled(folder)
    content = bytearray(path.read_bytes())
    at %= len(content)
    content[at] ^= flip
    path.write_bytes(content)
    file = SpoolFile(path)
    try:
        # All of it, or nothing: how far it was read is the only thing that no checksum covers.
        taken = file.take()
        assert taken in ([], [RECORD, RECORD])
        assert taken or 8 <= at < 16
    except DamagedSpool:
        pass
    finally:
        file.close()


def test_a_wrong_length_takes_no_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SpoolWriter(folder)
    writer.append(framed([RECORD]))
    writer.close()
    (path,) = spooled(folder)
    content = bytearray(path.read_bytes())
    content[16:20] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    file = SpoolFile(path)
    asked, read = [], os.pread

    def spied(descriptor: int, size: int, place: int) -> bytes:
        asked.append(size)
        return read(descriptor, min(size, len(content)), place)

    monkeypatch.setattr(os, "pread", spied)
    with pytest.raises(DamagedSpool, match="byte 16"):
        file.take()
    file.close()
    assert max(asked) <= len(content)


def test_zeros_that_a_machine_left_are_no_records(folder: Path) -> None:
    folder.mkdir()
    path = folder / "1.spool"
    for content in (b"", b"\x00" * 64):
        path.write_bytes(content)
        file = SpoolFile(path)
        with pytest.raises(DamagedSpool, match="no file of predictions"):
            file.take()
        file.close()
