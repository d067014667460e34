"""The command line: what it writes, says and leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from bentos.core.errors import ConfigError, DataError
from tests.core.ingest.sources import FIELDS, GOOD, row, write_csv
from training.data.commands import ROWS_REFUSED, generate, ingest
from training.data.synthetic import generate_table
from training.data.table import read_transactions, table_hash


def test_generate_writes_the_table_and_says_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    done = CliRunner().invoke(generate, ["--rows", "500", "--seed", "4", "--output", str(path)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "rows       500" in done.stdout
    assert "days       90 (2026-03-01 to 2026-05-29, UTC)" in done.stdout
    assert "frauds     15 (3.00%)" in done.stdout
    assert table_hash(read_transactions(path)) == table_hash(generate_table(500, seed=4))


def test_the_output_is_in_the_home_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path))
    CliRunner().invoke(generate, ["--rows", "50", "--days", "5"], catch_exceptions=False)
    assert len(read_transactions(tmp_path / "data" / "transactions.parquet")) == 50


def test_a_wrong_option_writes_nothing(tmp_path: Path) -> None:
    done = CliRunner().invoke(generate, ["--fraud-rate", "3", "--output", str(tmp_path / "t.parquet")])
    assert isinstance(done.exception, ConfigError)
    assert "fraud_rate is 3.0; it must lie from 0 to 0.5" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [generate, ingest])
def test_help_tells_the_defaults(command: object) -> None:
    done = CliRunner().invoke(command, ["--help"])  # type: ignore[arg-type]
    assert done.exit_code == 0
    assert "default: " in done.output
    assert "$FRAUD_HOME" in done.output


@pytest.fixture
def source(tmp_path: Path) -> list[str]:
    """Arguments of an ingestion with one wrong row of three."""
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(FIELDS))
    path = write_csv(tmp_path / "a.csv", GOOD, row(id="t2", price="x"), row(id="t3", fraud="yes"))
    return [str(path), "--mapping", str(tmp_path / "shop.yaml"), "--output", str(tmp_path / "t.parquet")]


def test_a_wrong_row_ends_the_command(source: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(ingest, source)
    assert isinstance(done.exception, DataError)
    assert "a.csv:3: 'x'" in str(done.exception)
    assert not (tmp_path / "t.parquet").exists()


@pytest.mark.parametrize(("allow", "code"), [([], ROWS_REFUSED), (["--allow-refused"], 0)])
def test_refused_rows_are_set_aside(source: list[str], tmp_path: Path, allow: list[str], code: int) -> None:
    done = CliRunner().invoke(ingest, [*source, "--refused", str(tmp_path / "refused.csv"), *allow])
    assert done.exit_code == code
    assert "rows       2" in done.stdout
    assert "refused    1" in done.stdout
    assert len(read_transactions(tmp_path / "t.parquet")) == 2
    assert "a.csv,3,amount,x,is no finite number" in (tmp_path / "refused.csv").read_text()


def test_allowing_needs_the_file(source: list[str]) -> None:
    done = CliRunner().invoke(ingest, [*source, "--allow-refused"])
    assert done.exit_code == 2
    assert "--allow-refused needs --refused" in done.output


def test_warnings_are_shown_beside_the_summary(source: list[str], tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", GOOD)
    done = CliRunner().invoke(ingest, source, catch_exceptions=False)
    assert done.exit_code == 0
    assert "warning: every row is legitimate" in done.stderr


_GENERATE = "from training.data.commands import generate; generate()"


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_command_leaves_no_table(kind: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C leaves nothing; after SIGKILL what was begun may lie there, but under a name that nothing reads."""
    path = tmp_path / "t.parquet"
    command = [sys.executable, "-c", _GENERATE, "--rows", "50000000", "--output", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert process.poll() is None, "it must be in the middle of its work"
        process.send_signal(kind)
        process.wait(60)
    assert process.returncode != 0
    assert not path.exists()
    left = [item.name for item in tmp_path.iterdir()]
    assert left == [] if kind is signal.SIGINT else all(name.startswith(".t.parquet.") for name in left)
