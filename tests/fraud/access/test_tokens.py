"""Tokens of a real issuer, whose keys come over HTTPS."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from bentos.core.errors import ConfigError, NotAllowed, Unauthenticated, Unavailable
from bentos.fraud.access.guard import Guard
from bentos.fraud.access.settings import AccessSettings
from tests.fraud.access.authority import Authority, Issuer, claims, publishing

LATER = timedelta(minutes=5)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Of certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def issuer(authority: Authority) -> Iterator[Issuer]:
    """One with a key, whose server runs."""
    opened = Issuer()
    opened.add("one")
    with publishing(opened, authority):
        yield opened


@pytest.fixture
def settings(issuer: Issuer, authority: Authority) -> Callable[..., AccessSettings]:
    """Settings that trust the issuer, some changed."""

    def made(**changes: Any) -> AccessSettings:
        known = {
            "jwt_jwks_url": issuer.url,
            "jwt_issuer": "https://issuer.test",
            "jwt_audience": "fraud",
            "jwt_ca_file": authority.file,
            "jwt_minimum_refresh_seconds": 0.05,
            **changes,
        }
        return AccessSettings(**known)

    return made


@contextlib.contextmanager
def _started(settings: AccessSettings, runner: asyncio.Runner) -> Iterator[Guard]:
    guard = Guard(settings, None)
    runner.run(guard.start())
    try:
        yield guard
    finally:
        runner.run(guard.close())


def _admit(guard: Guard, token: str, need: Any = "score") -> str:
    caller = guard.admit({"authorization": f"Bearer {token}"}, need)
    assert caller is not None
    return caller.name


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256", "PS256"])
def test_a_token_of_the_issuer_is_taken(
    issuer: Issuer, settings: Callable[..., AccessSettings], runner: asyncio.Runner, algorithm: str
) -> None:
    issuer.add("two", algorithm)
    with _started(settings(), runner) as guard:
        assert _admit(guard, issuer.token("two")) == "shop"
        assert _admit(guard, issuer.token("two", aud=["other", "fraud"])) == "shop"
        assert guard.states()["jwks"].status == "ok"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exp": datetime(2020, 1, 1, tzinfo=UTC)}, "expired"),
        ({"exp": None}, "no exp"),
        ({"iss": "https://another.test"}, "another issuer"),
        ({"iss": None}, "no iss"),
        ({"aud": "another"}, "another audience"),
        ({"aud": None}, "no aud"),
        ({"nbf": datetime(2100, 1, 1, tzinfo=UTC)}, "not valid yet"),
    ],
)
def test_a_token_that_says_something_else_is_not(
    issuer: Issuer,
    settings: Callable[..., AccessSettings],
    runner: asyncio.Runner,
    changes: dict[str, Any],
    said: str,
) -> None:
    token = issuer.token("one", **changes)
    with _started(settings(), runner) as guard, pytest.raises(Unauthenticated, match=said) as caught:
        _admit(guard, token)
    assert not any(part in str(caught.value) for part in token.split("."))


def test_forged_tokens_are_not_taken(
    issuer: Issuer, settings: Callable[..., AccessSettings], runner: asyncio.Runner
) -> None:
    issuer.add("two", "RS256")
    good = issuer.token("one")
    head, body, signature = good.split(".")
    stranger = Issuer()
    stranger.add("one")
    stranger.add("three")
    payload = _part({**claims(), "exp": 4_000_000_000, "roles": ["admin"]})
    public = json.loads(issuer.document())["keys"][1]
    forged = {
        "another's key under a known name": stranger.token("one"),
        "another's key": stranger.token("three"),
        "no signature": f"{_part({'alg': 'none', 'kid': 'one'})}.{payload}.",
        "other claims": f"{head}.{payload}.{signature}",
        "a changed signature": f"{head}.{body}.{signature[::-1]}",
        "the public key as a shared secret": jwt.encode(
            claims(), json.dumps(public) * 2, "HS256", headers={"kid": "two"}
        ),
        "a key of its own in the header": stranger.token(
            "three", headers={"kid": "one", "jwk": json.loads(stranger.document())["keys"][1]}
        ),
        "another algorithm of the same key": jwt.encode(
            claims(), issuer.private["two"][0], "RS512", headers={"kid": "two"}
        ),
        "no token": "a.b.c",
        "too long": "a" * 9000 + ".b.c",
    }
    with _started(settings(), runner) as guard:
        assert _admit(guard, good) == "shop"
        for name, token in forged.items():
            with pytest.raises(Unauthenticated):
                pytest.fail(f"{name}: {_admit(guard, token)}")


@pytest.mark.parametrize(
    ("claim", "content", "role"),
    [
        ("roles", {"roles": ["feedback", "unknown"]}, "feedback"),
        ("scope", {"scope": "openid score"}, "score"),
        ("realm_access.roles", {"realm_access": {"roles": ["admin"]}}, "admin"),
    ],
)
def test_roles_are_where_the_issuer_has_them(
    issuer: Issuer,
    settings: Callable[..., AccessSettings],
    runner: asyncio.Runner,
    claim: str,
    content: dict[str, Any],
    role: str,
) -> None:
    token = issuer.token("one", **{"roles": None, **content})
    with _started(settings(jwt_roles_claim=claim), runner) as guard:
        assert _admit(guard, token, role)
        for other in {"score", "feedback", "admin"} - {role}:
            with pytest.raises(NotAllowed, match=f"'shop' has {role}$"):
                _admit(guard, token, other)


@pytest.mark.parametrize("roles", [None, 7, {"admin": True}, "", ["none"], ["any"], [["admin"]]])
def test_what_is_no_role_gives_none(
    issuer: Issuer, settings: Callable[..., AccessSettings], runner: asyncio.Runner, roles: Any
) -> None:
    with _started(settings(), runner) as guard, pytest.raises(NotAllowed, match="'shop' has none"):
        _admit(guard, issuer.token("one", roles=roles))


def test_a_remembered_token_still_ends(
    issuer: Issuer, settings: Callable[..., AccessSettings], runner: asyncio.Runner
) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    token = issuer.token("one", exp=end)
    with _started(settings(jwt_leeway_seconds=0), runner) as guard:
        assert _admit(guard, token) == "shop"
        while datetime.now(UTC) <= end:
            pass
        with pytest.raises(Unauthenticated, match="expired"):
            _admit(guard, token)


def test_new_keys_are_fetched_and_old_ones_forgotten(
    issuer: Issuer, settings: Callable[..., AccessSettings], runner: asyncio.Runner
) -> None:
    with _started(settings(), runner) as guard:
        before = issuer.token("one")
        assert _admit(guard, before) == "shop"
        del issuer.private["one"]
        issuer.add("two")
        after = issuer.token("two")
        runner.run(_until(lambda: _lets_in(guard, after)))
        # It was remembered, but its key is withdrawn.
        assert not _lets_in(guard, before)


def test_made_up_keys_do_not_reach_the_issuer(
    issuer: Issuer, settings: Callable[..., AccessSettings], runner: asyncio.Runner
) -> None:
    stranger = Issuer()
    stranger.add("unknown")
    token = stranger.token("unknown")

    async def flood(guard: Guard) -> None:
        for _ in range(200):
            assert not _lets_in(guard, token)
            await asyncio.sleep(0)

    with _started(settings(jwt_minimum_refresh_seconds=3600), runner) as guard:
        runner.run(flood(guard))
        assert issuer.asked == 1


@pytest.mark.parametrize(
    ("instead", "status"),
    [
        (b"", 200),
        (b"[]", 200),
        (b'{"keys": []}', 200),
        (b'{"keys": [7, {"kty": "oct", "k": "c2VjcmV0", "kid": "one"}]}', 200),
        (b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "", "y": "", "kid": "one"}]}', 200),
        (b" " * 2_000_000, 200),
        (None, 500),
        (None, 302),
    ],
)
def test_a_broken_issuer_stops_nothing_and_is_seen(
    issuer: Issuer,
    settings: Callable[..., AccessSettings],
    runner: asyncio.Runner,
    caplog: pytest.LogCaptureFixture,
    instead: bytes | None,
    status: int,
) -> None:
    issuer.instead, issuer.status = instead, status
    token = issuer.token("one")
    with caplog.at_level(logging.ERROR), _started(settings(), runner) as guard:
        with pytest.raises(Unavailable, match="keys of tokens are not known"):
            _admit(guard, token)
        assert guard.states()["jwks"].status == "failing"
        assert "cannot be read" in caplog.text
        assert issuer.url not in caplog.text
        issuer.instead, issuer.status = None, 200
        runner.run(_until(lambda: _lets_in(guard, token)))
        assert guard.states()["jwks"].status == "ok"
        # From now on what was read last holds.
        issuer.status = 500
        runner.run(_until(lambda: guard.states()["jwks"].status == "failing", ask=lambda: _wanting(guard)))
        assert _lets_in(guard, token)


def test_keys_that_are_too_old_are_not_trusted(
    issuer: Issuer, settings: Callable[..., AccessSettings], runner: asyncio.Runner
) -> None:
    with _started(settings(jwt_stale_seconds=0.2, jwt_minimum_refresh_seconds=3600), runner) as guard:
        token = issuer.token("one")
        assert _lets_in(guard, token)
        runner.run(_until(lambda: not _lets_in(guard, token)))


def test_a_server_that_another_authority_signed_is_not_believed(
    issuer: Issuer, settings: Callable[..., AccessSettings], runner: asyncio.Runner, tmp_path: Path
) -> None:
    with _started(settings(jwt_ca_file=Authority(tmp_path).file), runner) as guard, pytest.raises(Unavailable):
        _admit(guard, issuer.token("one"))
    assert issuer.asked == 0


def test_keys_may_be_a_file(issuer: Issuer, settings: Callable[..., AccessSettings], runner: asyncio.Runner) -> None:
    file = settings().jwt_ca_file.with_name("jwks.json")  # type: ignore[union-attr]
    file.write_bytes(issuer.document())
    with _started(settings(jwt_jwks_url=str(file)), runner) as guard:
        assert _admit(guard, issuer.token("one")) == "shop"
    assert issuer.asked == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.test/keys",
        "jwks.json",
        "ftp://issuer.test/",
        "https://user:CANARY@issuer.test/",
        "https://[CANARY",
    ],
)
def test_an_address_that_cannot_be_trusted_is_refused(settings: Callable[..., AccessSettings], url: str) -> None:
    with pytest.raises(ConfigError, match="FRAUD_JWT_JWKS_URL") as caught:
        Guard(settings(jwt_jwks_url=url), None)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("missing", ["jwt_issuer", "jwt_audience"])
def test_issuer_and_audience_are_needed(settings: Callable[..., AccessSettings], missing: str) -> None:
    with pytest.raises(ConfigError, match="FRAUD_JWT_ISSUER and FRAUD_JWT_AUDIENCE"):
        Guard(settings(**{missing: None}), None)


def _wanting(guard: Guard) -> None:
    stranger = Issuer()
    stranger.add("unknown")
    assert not _lets_in(guard, stranger.token("unknown"))


def _lets_in(guard: Guard, token: str) -> bool:
    try:
        return bool(_admit(guard, token))
    except (Unauthenticated, Unavailable):
        return False


async def _until(condition: Callable[[], bool], ask: Callable[[], None] = lambda: None) -> None:
    async with asyncio.timeout(30):
        while not condition():
            ask()
            await asyncio.sleep(0.01)
