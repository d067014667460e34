"""Who is let in, who is not, and what changes while the service runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bentos.core.errors import ConfigError, NotAllowed, Overloaded, Unauthenticated
from bentos.fraud.access.guard import Guard, open_guard
from bentos.fraud.access.keyring import signature
from bentos.fraud.access.keys import KeyRecord, add_key, new_key, remove_key
from bentos.fraud.access.roles import Need
from bentos.fraud.access.settings import AccessSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def add(path: Path, name: str, *roles: str, **fields: object) -> str:
    """A new key of a file."""
    key = new_key()
    record = KeyRecord.model_validate({"name": name, "sha256": "0" * 64, "roles": roles, "created_at": NOW, **fields})
    add_key(path, key, record)
    return key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a file of keys, which is not there yet."""
    return tmp_path / "keys.json"


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def _guard(path: Path, **settings: object) -> Guard:
    return Guard(AccessSettings(api_keys_file=path, **settings), None)  # type: ignore[arg-type]


def test_without_keys_and_tokens_there_is_no_guard() -> None:
    assert open_guard(AccessSettings()) is None


@pytest.mark.parametrize(
    "headers",
    [
        lambda key: {"authorization": f"Bearer {key}"},
        lambda key: {"authorization": f"bearer  {key}"},
        lambda key: {"x-api-key": key},
        lambda key: {"x-api-key": key, "authorization": "Basic Z2F0ZXdheTpwYXNz"},
    ],
)
def test_a_key_travels_in_either_header(path: Path, headers: Callable[[str], dict[str, str]]) -> None:
    key = add(path, "shop", "score")
    caller = _guard(path).admit(headers(key), "score")
    assert caller is not None
    assert caller.name == "shop"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "{key}"},
        {"authorization": "Basic {key}"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer {key}x"},
        {"authorization": "Bearer {key}, Bearer {key}"},
        {"x-api-key": ""},
        {"x-api-key": "{key}x"},
        {"x-api-key": "Bearer {key}"},
        {"x-api-key": "wrong", "authorization": "Bearer {key}"},
        {"x-api-key": "a.b.c"},
        {"x-api-key": "\u00ff" * 100_000},
    ],
    ids=lambda headers: repr(headers)[:40],
)
def test_anything_else_is_nobody(path: Path, headers: dict[str, str]) -> None:
    key = add(path, "shop", "score")
    with pytest.raises(Unauthenticated) as caught:
        _guard(path).admit({name: value.replace("{key}", key) for name, value in headers.items()}, "score")
    assert key not in str(caught.value)


def test_the_digest_itself_is_no_key(path: Path) -> None:
    add(path, "shop", "score")
    guard = _guard(path)
    digest = path.read_text().partition('"sha256": "')[2][:64]
    with pytest.raises(Unauthenticated):
        guard.admit(_bearer(digest), "score")


@pytest.mark.parametrize("role", ["score", "feedback", "admin"])
@pytest.mark.parametrize("need", ["none", "score", "feedback", "admin", "any"])
def test_roles_do_not_include_each_other(path: Path, role: str, need: Need) -> None:
    headers = _bearer(add(path, "one", role))
    guard = _guard(path)
    if need in (role, "any"):
        assert guard.admit(headers, need) is not None
    elif need == "none":
        assert guard.admit(headers, need) is None
        assert guard.admit({}, need) is None
    else:
        with pytest.raises(NotAllowed, match=f"needs the role {need}; 'one' has {role}"):
            guard.admit(headers, need)


def test_a_call_that_nobody_has_put_into_the_table_is_closed(path: Path) -> None:
    add(path, "shop", "score")
    assert _guard(path).need("a_new_call") == "admin"


def test_settings_close_metrics_and_docs(path: Path) -> None:
    add(path, "shop", "score")
    assert [_guard(path).need(page) for page in ("metrics", "docs")] == ["none", "none"]
    closed = _guard(path, metrics_role="admin", docs_role="score")
    assert [closed.need(page) for page in ("metrics", "docs")] == ["admin", "score"]


def test_a_key_ends_without_a_new_file(path: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.2)
    key = add(path, "shop", "score", expires_at=soon)
    guard = _guard(path)
    assert guard.admit(_bearer(key), "score") is not None
    while datetime.now(UTC) <= soon:
        pass
    with pytest.raises(Unauthenticated, match="'shop' has expired"):
        guard.admit(_bearer(key), "score")


def test_a_keys_own_limit_goes_before_that_of_all(path: Path) -> None:
    small = add(path, "small", "score", rows_per_second=1e-6, burst_rows=2)
    other = add(path, "other", "score")
    guard = _guard(path, rate_limit_rows_per_second=1e-6, rate_limit_burst_rows=5)

    def let_in(key: str) -> int:
        count = 0
        while True:
            try:
                guard.admit(_bearer(key), "score")
            except Overloaded:
                return count
            count += 1

    assert (let_in(small), let_in(other)) == (2, 5)


def test_who_may_not_does_not_use_up_who_may(path: Path) -> None:
    key = add(path, "shop", "score", rows_per_second=1e-6, burst_rows=1)
    guard = _guard(path)
    for _ in range(5):
        with pytest.raises(NotAllowed):
            guard.admit(_bearer(key), "admin")
    assert guard.admit(_bearer(key), "score") is not None


def test_a_running_guard_follows_its_file(path: Path, runner: asyncio.Runner) -> None:
    first = add(path, "first", "score")
    guard = _guard(path, api_keys_check_seconds=0.01)

    async def main() -> None:
        await guard.start()
        second = add(path, "second", "score")
        await _until(lambda: _lets_in(guard, second))
        assert _lets_in(guard, first)
        remove_key(path, "first")
        await _until(lambda: not _lets_in(guard, first))
        assert _lets_in(guard, second)
        await guard.close()

    runner.run(main())


def test_a_broken_file_keeps_the_keys_and_is_seen_in_health_and_log(
    path: Path, runner: asyncio.Runner, caplog: pytest.LogCaptureFixture
) -> None:
    key = add(path, "shop", "score")
    good = path.read_bytes()
    guard = _guard(path, api_keys_check_seconds=0.01)

    async def main() -> None:
        await guard.start()
        for broken in (b'{"keys": "CANARY"}', None):
            if broken is None:
                path.unlink()
            else:
                path.write_bytes(broken)
            await _until(lambda: guard.states()["api_keys"].status == "failing")
            assert _lets_in(guard, key)
            path.write_bytes(good)
            await _until(lambda: guard.states()["api_keys"].status == "ok")
            assert _lets_in(guard, key)
        await guard.close()

    with caplog.at_level(logging.ERROR):
        runner.run(main())
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "stay as they were" in caplog.text
    assert "CANARY" not in caplog.text


def test_a_secret_that_kubernetes_swaps_is_a_change(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "keys.json").write_text("{}")
    link = tmp_path / "data"
    link.symlink_to("v1")
    before = signature(link / "keys.json")
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").rename(link)
    assert signature(link / "keys.json") != before


def test_no_file_at_the_start_is_an_error(path: Path) -> None:
    with pytest.raises(ConfigError, match="keys create"):
        _guard(path)


def _lets_in(guard: Guard, key: str) -> bool:
    try:
        return guard.admit(_bearer(key), "score") is not None
    except Unauthenticated:
        return False


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)
