"""``python -m bentos.fraud bulk``."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bentos.fraud.__main__ import main
from tests.fraud.bulk.tables import as_sent, transactions


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A data set of three files."""
    rows = as_sent(transactions(900))
    for number in range(3):
        folder = tmp_path / "in" / f"day={number}"
        folder.mkdir(parents=True)
        rows.iloc[number * 300 : (number + 1) * 300].to_parquet(folder / "part.parquet", index=False)
    return tmp_path / "in"


def test_files_are_scored_once_and_a_bad_one_does_not_stop_the_others(
    source: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRAUD_HOME", str(home))
    (source / "day=3").mkdir()
    (source / "day=3" / "part.parquet").write_bytes(b"PAR1 and nothing more")
    arguments = ["bulk", str(source), str(tmp_path / "out")]
    assert main([*arguments, "--partition", "0/2"]) == 0
    assert "2 files, 0 of them done before" in capsys.readouterr().out
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert "4 files, 2 of them done before" in told.out
    assert "day=3/part.parquet: failed" in told.err
    results = sorted((tmp_path / "out").rglob("*.parquet"))
    assert [pq.ParquetFile(path).metadata.num_rows for path in results] == [300, 300, 300]
    assert not list((home / "serving").glob("bulk-*"))


def test_results_behind_a_url(
    source: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in an object store: the same files, and the same proof that they are done."""
    monkeypatch.setenv("FRAUD_HOME", str(home))
    arguments = ["bulk", source.as_uri(), (tmp_path / "out").as_uri()]
    assert main([*arguments, "--partition", "0/3"]) == 0
    capsys.readouterr()
    assert main(arguments) == 0
    assert "3 files, 1 of them done before" in capsys.readouterr().out
    files = sorted(
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*") if path.is_file()
    )
    assert files == [f"day={number}/{name}" for number in range(3) for name in (".part.parquet.done", "part.parquet")]
    (tmp_path / "out" / "day=1" / "part.parquet").write_bytes(b"half")
    (tmp_path / "out" / "day=2" / ".part.parquet.done").unlink()
    assert main(arguments) == 0
    assert "3 files, 1 of them done before" in capsys.readouterr().out
    results = [pq.ParquetFile(path).metadata.num_rows for path in (tmp_path / "out").rglob("part.parquet")]
    assert results == [300, 300, 300]


def test_a_target_of_a_scheme_that_is_not_known(
    source: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRAUD_HOME", str(home))
    assert main(["bulk", str(source), "nowhere://bank/out"]) == 2
    assert "target: nowhere://bank/out cannot be opened: Protocol not known: nowhere" in capsys.readouterr().err


def test_a_file_that_changed_is_scored_again(
    source: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRAUD_HOME", str(home))
    arguments = ["bulk", str(source), str(tmp_path / "out"), "--workers", "2"]
    assert main(arguments) == 0
    as_sent(transactions(10)).to_parquet(source / "day=1" / "part.parquet", index=False)
    (tmp_path / "out" / "day=2" / "part.parquet").write_bytes(b"half")
    capsys.readouterr()
    assert main(arguments) == 0
    assert "3 files, 1 of them done before" in capsys.readouterr().out
    assert pq.ParquetFile(tmp_path / "out" / "day=1" / "part.parquet").metadata.num_rows == 10
