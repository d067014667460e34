"""The file of API keys, and the commands that change it."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bentos.core.errors import ConfigError, Conflict, NotFound
from bentos.fraud.__main__ import main
from bentos.fraud.access.keys import KEY_PREFIX, KeyRecord, add_key, key_digest, new_key, read_keys, remove_key
from tests.fraud.server import ROOT

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _record(name: str) -> KeyRecord:
    return KeyRecord(name=name, sha256="0" * 64, roles=("score",), created_at=NOW)


def _create(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["keys", "create", *arguments]) == 0
    return capsys.readouterr().out.strip()


def test_a_key_is_long_random_and_says_what_it_is() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith(KEY_PREFIX) and len(key) == len(KEY_PREFIX) + 43 for key in keys)


def test_the_file_holds_a_digest_and_nobody_else_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "secrets" / "keys.json"
    key = _create(capsys, "--name", "shop", "--role", "score", "--role", "feedback", "--file", str(path))
    text = path.read_text()
    assert key not in text
    assert key.removeprefix(KEY_PREFIX)[:8] not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (record,) = read_keys(path).keys
    assert record.sha256 == key_digest(key).hex()
    assert (record.name, record.roles, record.expires_at) == ("shop", ("feedback", "score"), None)


def test_a_key_is_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "keys.json")
    key = _create(capsys, "--name", "shop", "--role", "score", "--expires", "90d", "--file", path)
    _create(capsys, "--name", "desk", "--role", "admin", "--rows-per-second", "5", "--file", path)
    assert main(["keys", "list", "--file", path]) == 0
    shown = capsys.readouterr().out
    assert key not in shown
    assert key_digest(key).hex() not in shown
    assert [line.split()[0] for line in shown.splitlines()] == ["name", "shop", "desk"]


def test_a_revoked_key_is_gone_and_the_others_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys.json"
    for name in ("shop", "desk"):
        _create(capsys, "--name", name, "--role", "score", "--file", str(path))
    assert main(["keys", "revoke", "shop", "--file", str(path)]) == 0
    assert [key.name for key in read_keys(path).keys] == ["desk"]
    with pytest.raises(NotFound, match="no key named 'shop'"):
        remove_key(path, "shop")


def test_the_file_is_that_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "list"]) == 2
    assert "FRAUD_API_KEYS_FILE" in capsys.readouterr().err
    monkeypatch.setenv("FRAUD_API_KEYS_FILE", str(tmp_path / "keys.json"))
    _create(capsys, "--name", "shop", "--role", "score")
    assert (tmp_path / "keys.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name", "shop", "--role", "root"], "root"),
        (["--name", "a b", "--role", "score"], "--name"),
        (["--name", "shop"], "--role"),
        (["--name", "shop", "--role", "score", "--expires", "soon"], "--expires"),
        (["--name", "shop", "--role", "score", "--expires", "2030-01-01T00:00:00"], "offset"),
        (["--name", "shop", "--role", "score", "--expires", "2020-01-01T00:00:00Z"], "over"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    path = tmp_path / "keys.json"
    assert main(["keys", "create", *arguments, "--file", str(path)]) != 0
    assert said in capsys.readouterr().err
    assert not path.exists()


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_key(path, new_key(), _record("shop"))
    before = path.read_bytes()
    with pytest.raises(Conflict, match="'shop'"):
        add_key(path, new_key(), _record("shop"))
    assert path.read_bytes() == before


def test_keys_that_are_made_at_once_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add_key(path, new_key(), _record(f"key-{number}")), range(24)))
    assert sorted(key.name for key in read_keys(path).keys) == sorted(f"key-{number}" for number in range(24))
    assert {file.name for file in tmp_path.iterdir()} == {"keys.json", ".keys.json.lock"}


@pytest.mark.parametrize(
    "content",
    [
        '["SECRET"]',
        '{"keys": {"SECRET": 1}}',
        '{"SECRET": []}',
        '{"keys": [{"SECRET": "SECRET"}]}',
        '{"keys": [{"name": "shop", "sha256": "SECRET", "roles": ["score"], "created_at": "2026-01-01T00:00:00Z"}]}',
        '{"keys": [{"name": "shop", "sha256": "' + "0" * 64 + '", "roles": ["SECRET"], "created_at": "2026-01-01"}]}',
        '{"version": 2, "keys": []}',
        "SECRET",
        '{"keys": [SECRET',
        "",
    ],
)
def test_a_broken_file_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_keys(path)
    assert str(path) in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keys create"):
        read_keys(tmp_path / "absent.json")


def test_two_keys_with_one_digest_are_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    records = [json.loads(_record(name).model_dump_json()) for name in ("a", "b")]
    path.write_text(json.dumps({"keys": records}))
    with pytest.raises(ConfigError, match="sha256"):
        read_keys(path)


def test_help_of_every_command_is_quick_and_without_the_service() -> None:
    script = "import sys; from bentos.fraud.__main__ import main; main(['keys', '--help']); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "revoke" in ended.stdout
    assert {"bentoml", "onnxruntime", "jwt"}.isdisjoint(ended.stdout.splitlines()[-1].split())
