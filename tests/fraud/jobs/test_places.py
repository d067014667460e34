"""A URI leads to an allowed place or nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bentos.core.errors import ConfigError, InvalidInput
from bentos.core.settings import load_settings
from bentos.fraud.jobs.places import allowed_source, pinned
from bentos.fraud.settings import ScoringSettings


@pytest.fixture
def places(tmp_path: Path) -> tuple[str, ...]:
    """A folder with a file and ways out of it, and a bucket."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text("a")
    (folder / "a b.csv").write_text("a")
    (tmp_path / "secret.csv").write_text("secret")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "up").symlink_to(tmp_path)
    return f"file://{folder}/", "s3://payments-in/daily/"


def test_what_is_allowed(places: tuple[str, ...], tmp_path: Path) -> None:
    assert allowed_source(f"{places[0]}a.csv", places) == str(tmp_path / "in" / "a.csv")
    assert allowed_source(f"{places[0]}a%20b.csv", places) == str(tmp_path / "in" / "a b.csv")
    assert allowed_source("s3://payments-in/daily/x/y.parquet", places) == "s3://payments-in/daily/x/y.parquet"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "a.csv",
        "/etc/passwd",
        "file:/etc/passwd",
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "FILE:///etc/passwd",
        "{0}../secret.csv",
        "{0}%2e%2e/secret.csv",
        "{0}..%2fsecret.csv",
        "{0}..\\secret.csv",
        "{0}link.csv",
        "{0}up/secret.csv",
        "{0}none.csv",
        "{0}",
        "{0}a.csv\0",
        "{0}a.csv%00",
        "{0}a\ud800.csv",
        "s3://payments-in/daily/a\ud800.csv",
        "s3://payments-in/daily/a\x1b.csv",
        "{0}a.csv?x=1",
        "{0}a.csv#x",
        "simplecache::{0}a.csv",
        "zip://x.csv::{0}a.csv",
        "s3://payments-in/a.csv",
        "s3://payments-in/daily",
        "s3://payments-in/daily/",
        "s3://payments-in/daily/../a.csv",
        "s3://payments-in/daily/%2E%2E/a.csv",
        "s3://payments-in.evil.example/daily/a.csv",
        "s3://payments-in@evil.example/daily/a.csv",
        "s3://other/daily/a.csv",
        "http://169.254.169.254/latest/meta-data/a.csv",
        "https://payments-in/daily/a.csv",
        "gopher://127.0.0.1:6379/_x",
        "s3://payments-in/daily/" + "a" * 3000,
    ],
)
def test_what_is_not(places: tuple[str, ...], uri: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        allowed_source(uri.replace("{0}", places[0]), places)
    (error,) = refused.value.errors
    assert error.path == "uri"
    assert "secret" not in error.message


def test_nowhere_by_default() -> None:
    with pytest.raises(InvalidInput, match="FRAUD_JOB_SOURCES"):
        allowed_source("s3://payments-in/daily/a.csv", ScoringSettings().job_sources)


def test_places_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_JOB_SOURCES", "s3://a/, file:///srv/in/")
    assert load_settings(ScoringSettings).job_sources == ("s3://a/", "file:///srv/in/")


@pytest.mark.parametrize(
    "place",
    [
        "s3://a",
        "s3:///",
        "file:///",
        "file://host/a/",
        "http://a/",
        "https://a/b/",
        "s3://k:s@a/",
        "a/",
        "file:///a/../",
    ],
)
def test_places_that_cannot_be_kept(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("FRAUD_JOB_SOURCES", place)
    with pytest.raises(ConfigError, match="FRAUD_JOB_SOURCES"):
        load_settings(ScoringSettings)


def test_what_was_allowed_is_read_and_nothing_that_took_its_place(places: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    source = allowed_source(f"{places[0]}a.csv", places)
    with pinned(source) as held:
        # Too late.
        (folder / "a.csv").unlink()
        (folder / "a.csv").symlink_to(tmp_path / "secret.csv")
        assert Path(held).read_text() == "a"
    for replace in (_by_nothing, _by_link, _by_pipe, _by_folder, _by_folder_of_a_link):
        replace(folder, tmp_path)
        with pytest.raises(InvalidInput, match="no such file"), pinned(source):
            raise AssertionError(replace)
    with pinned("s3://payments-in/daily/x") as held:
        assert held == "s3://payments-in/daily/x"


def _by_nothing(folder: Path, tmp_path: Path) -> None:
    (folder / "a.csv").unlink()


def _by_link(folder: Path, tmp_path: Path) -> None:
    (folder / "a.csv").symlink_to(tmp_path / "secret.csv")


def _by_pipe(folder: Path, tmp_path: Path) -> None:
    (folder / "a.csv").unlink()
    os.mkfifo(folder / "a.csv")


def _by_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "a.csv").unlink()
    (folder / "a.csv").mkdir()


def _by_folder_of_a_link(folder: Path, tmp_path: Path) -> None:
    folder.rename(tmp_path / "other")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.csv").write_text("secret")
    folder.symlink_to(tmp_path / "outside")
