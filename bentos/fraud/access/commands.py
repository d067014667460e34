"""``python -m bentos.fraud keys``: make, show and revoke API keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from bentos.core.errors import ConfigError
from bentos.core.settings import load_settings
from bentos.fraud.access.keys import KeyRecord, add_key, is_over, new_key, read_keys, remove_key
from bentos.fraud.access.settings import AccessSettings

__all__ = ["keys"]

_DAYS: Final = re.compile(r"(\d{1,5})d")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_file = click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the keys; FRAUD_API_KEYS_FILE when it is not given.",
)


@click.group()
def keys() -> None:
    """API keys: who may call, and what.

    A running server sees a change within FRAUD_API_KEYS_CHECK_SECONDS.
    """


@keys.command()
@click.option("--name", required=True, help="Whose it is: letters, digits, dots, dashes; shown in logs.")
@click.option(
    "--role",
    "roles",
    required=True,
    multiple=True,
    type=click.Choice(("score", "feedback", "admin")),
    help="What it may do. May be given several times; admin does not include the others.",
)
@click.option("--expires", help="When it ends: days, such as 90d, or RFC 3339 with an offset. Never unless given.")
@click.option("--rows-per-second", type=click.FloatRange(0, 1e6, min_open=True), help="Its own rate limit.")
@click.option("--burst-rows", type=click.FloatRange(1, 1e7), help="Rows that it may ask at once after a pause.")
@_file
def create(
    name: str,
    roles: tuple[str, ...],
    expires: str | None,
    rows_per_second: float | None,
    burst_rows: float | None,
    path: Path | None,
) -> None:
    """Make a key and print it, this once; the file gets its digest."""
    if not _NAME.fullmatch(name):
        raise click.BadParameter("up to 64 letters, digits, dots, dashes and underscores", param_hint="--name")
    key, target = new_key(), _target(path)
    now = datetime.now(UTC).replace(microsecond=0)
    record = KeyRecord.model_validate(
        {
            "name": name,
            "sha256": "0" * 64,
            "roles": sorted(set(roles)),
            "created_at": now,
            "expires_at": None if expires is None else _end(expires, now),
            "rows_per_second": rows_per_second,
            "burst_rows": burst_rows,
        }
    )
    add_key(target, key, record)
    click.echo(f"key {name!r} was added to {target}; it is shown this once:", err=True)
    click.echo(key)


@keys.command("list")
@_file
def list_keys(path: Path | None) -> None:
    """Show names, roles and ends, and no key."""
    rows = [("name", "roles", "created", "expires", "rows/s")]
    for record in read_keys(_target(path)).keys:
        end = "never" if record.expires_at is None else record.expires_at.isoformat()
        rows.append(
            (
                record.name,
                ",".join(record.roles),
                record.created_at.isoformat(),
                f"{end} (over)" if is_over(record) else end,
                "" if record.rows_per_second is None else f"{record.rows_per_second:g}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@keys.command()
@click.argument("name")
@_file
def revoke(name: str, path: Path | None) -> None:
    """Take a key out of the file."""
    target = _target(path)
    remove_key(target, name)
    click.echo(f"key {name!r} was taken out of {target}", err=True)


def _target(path: Path | None) -> Path:
    target = path or load_settings(AccessSettings).api_keys_file
    if target is None:
        raise ConfigError("which file? Give --file, or set FRAUD_API_KEYS_FILE, which the server reads too")
    return target


def _end(given: str, now: datetime) -> datetime:
    days = _DAYS.fullmatch(given)
    try:
        end = now + timedelta(days=int(days[1])) if days else datetime.fromisoformat(given)
    except (ValueError, OverflowError):
        raise click.BadParameter("days, such as 90d, or RFC 3339 with an offset", param_hint="--expires") from None
    if end.tzinfo is None:
        raise click.BadParameter("needs an offset, such as 2027-01-31T00:00:00+01:00", param_hint="--expires")
    if end <= now:
        raise click.BadParameter("is over already", param_hint="--expires")
    return end
