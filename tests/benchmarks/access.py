"""What it costs a request to be let in: ``python -m tests.benchmarks.access``."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

from bentos.fraud.access.guard import Guard
from bentos.fraud.access.limits import Buckets
from bentos.fraud.access.settings import AccessSettings
from tests.fraud.access.authority import Issuer
from tests.fraud.access.test_guard import add

_CALLS = 20_000
_ROUNDS = 15


def _microseconds(call: Callable[[], object], calls: int = _CALLS) -> float:
    """The best of some rounds: what others do on the machine only adds."""
    best = float("inf")
    for _ in range(_ROUNDS):
        started = perf_counter_ns()
        for _ in range(calls):
            call()
        best = min(best, (perf_counter_ns() - started) / calls / 1000)
    return best


def main() -> None:
    """Print microseconds a request."""
    with tempfile.TemporaryDirectory() as name, asyncio.Runner() as runner:
        folder = Path(name)
        keys = folder / "keys.json"
        shop = add(keys, "shop", "score")
        limited = add(keys, "limited", "score", rows_per_second=1e6, burst_rows=1e7)
        for number in range(200):
            add(keys, f"key-{number}", "score")
        issuer = Issuer()
        issuer.add("one")
        issuer.add("two", "RS256")
        jwks = folder / "jwks.json"
        jwks.write_bytes(issuer.document())
        guard = Guard(
            AccessSettings(
                api_keys_file=keys,
                jwt_jwks_url=str(jwks),
                jwt_issuer="https://issuer.test",
                jwt_audience="fraud",
            ),
            folder,
        )
        runner.run(guard.start())
        token = issuer.token("one")
        rows = {
            "a key": {"authorization": f"Bearer {shop}"},
            "a key with a limit that workers share": {"authorization": f"Bearer {limited}"},
            "a token that was seen before": {"authorization": f"Bearer {token}"},
        }
        for what, headers in rows.items():
            print(f"{what}: {_microseconds(lambda headers=headers: guard.admit(headers, 'score')):.2f} µs")
        assert guard._tokens is not None
        tokens = guard._tokens
        for kid in ("one", "two"):
            signed = issuer.token(kid)
            cost = _microseconds(lambda signed=signed: tokens._claims(signed), 300)
            print(f"a token that was not ({issuer.private[kid][1]}): {cost:.0f} µs")
        alone = Buckets().bucket("alone", 1e6, 1e7)
        print(f"a limit of one process alone: {_microseconds(alone.take):.2f} µs")
        runner.run(guard.close())


if __name__ == "__main__":
    main()
