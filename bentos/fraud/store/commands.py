"""``python -m bentos.fraud features``: fill the feature store, look at it, forget somebody."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from bentos.core.features.history import CATEGORY, CUSTOMER, MERCHANT
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.settings import load_settings
from bentos.fraud.store.base import FeatureStore
from bentos.fraud.store.choice import open_store
from bentos.fraud.store.settings import StoreSettings

__all__ = ["features"]


@contextlib.contextmanager
def _opened() -> Iterator[tuple[FeatureStore, StoreSettings]]:
    settings = load_settings(StoreSettings)
    with contextlib.closing(open_store(settings)) as store:
        yield store, settings


@click.group()
def features() -> None:
    """The feature store that FRAUD_FEATURE_STORE chooses; a server may run meanwhile."""


@features.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--mapping", help="YAML file that says what the source's columns mean, or the name of a shipped one.")
def fill(source: Path, mapping: str | None) -> None:
    """Fill the store with the transactions of SOURCE.

    It is a Parquet file, a table as training ingests and writes it. With a mapping, which training reads as well, it is
    CSV or Parquet of any columns, or a folder of such files; the whole of it is then held in memory. Keys that the
    store holds already keep what they have, so running it twice, or again after it was broken off, counts nothing
    twice.
    """
    from bentos.fraud.store.bulk import fill_store, read_mapped, read_recent

    started = time.monotonic()
    table, rows = read_recent(source) if mapping is None else read_mapped(source, mapping)
    click.echo(f"{rows:,} transactions read, {len(table):,} of the last 37 days count", err=True)
    with _opened() as (store, settings):
        pseudonyms = Pseudonyms(settings.pseudonym_key.get_secret_value())
        count = fill_store(store, table, pseudonyms, _tell)
    seconds = time.monotonic() - started
    click.echo(f"{count:,} states of {len(table):,} transactions are in the store, after {seconds:.1f} s")


def _tell(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    if sys.stderr.isatty():
        click.echo(f"\r{done:,} of {total:,} states", err=True, nl=False)
        click.echo(end, err=True, nl=False)
    elif end:
        click.echo(f"{done:,} of {total:,} states", err=True)


@features.command()
def status() -> None:
    """Show what the store holds and whether it works; exit code 1 when it does not."""
    with _opened() as (store, settings):
        wrong = store.check()
        click.echo(f"store        {settings.feature_store}")
        click.echo(f"works        {'yes' if wrong is None else f'no: {wrong}'}")
        if wrong is not None:
            sys.exit(1)
        newest = store.newest()
        for name, value in store.stats().items():
            click.echo(f"{name:<12} {value:,}")
        click.echo(f"newest       {'none' if newest is None else _instant(newest)}")
        fingerprint = Pseudonyms(settings.pseudonym_key.get_secret_value()).fingerprint()
        click.echo(f"fingerprint  {fingerprint}")


def _instant(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).isoformat().replace("+00:00", "Z")


@features.command()
@click.option("--customer", help="Whose history is forgotten.")
@click.option("--merchant", help="The same for a merchant.")
@click.option("--category", help="The same for a merchant category.")
def erase(customer: str | None, merchant: str | None, category: str | None) -> None:
    """Forget the history of a customer, merchant or category.

    What others have in common with it stays: a merchant's counts do not tell who paid.
    """
    given = [(CUSTOMER, customer), (MERCHANT, merchant), (CATEGORY, category)]
    chosen = [(kind, identifier) for kind, identifier in given if identifier]
    if not chosen:
        raise click.UsageError("name who is forgotten: --customer, --merchant or --category")
    with _opened() as (store, _):
        for kind, identifier in chosen:
            found = store.erase(kind, identifier)
            click.echo(f"{kind.column} {identifier}: {'forgotten' if found else 'not in the store'}")
