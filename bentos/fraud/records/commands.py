"""``python -m bentos.fraud records``: quality, erasure, retention, state."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from bentos.core.errors import Unavailable
from bentos.core.settings import load_settings
from bentos.fraud.records.settings import RecordsSettings

if TYPE_CHECKING:
    from bentos.fraud.records.database import Database
    from bentos.fraud.records.pair_quality import Budget, PairKey, PairQuality, Side
    from bentos.fraud.records.quality import ModelKey, Quality

__all__ = ["records"]

_DAY = 86_400_000_000
#: Beyond the pause between two writes of a server's log.
_MARGIN_SECONDS = 1.0
#: How long a server may take over what waits without getting on.
_PATIENCE_SECONDS = 10.0


@click.group("records")
def records() -> None:
    """Predictions and labels in the database that FRAUD_RECORDS_URL chooses; a server may run meanwhile."""


@records.command()
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Age of the predictions that count.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def quality(days: float | None, as_json: bool) -> None:
    """How good decisions were, for each model version, by the labels that came in.

    An alert is a decision to review or to block. Only labelled transactions count, and what was blocked rarely gets
    a label.
    """
    from bentos.fraud.records.quality import count_quality

    with _opened() as (database, settings):
        span = settings.quality_window_days if days is None else days
        with database.read(patient=True) as connection:
            found = count_quality(connection, time.time_ns() // 1000 - int(span * _DAY))
    if as_json:
        click.echo(json.dumps([_facts(model, result) for model, result in found.items()]))
        return
    click.echo(f"predictions of the last {span:g} days")
    click.echo(
        f"{'model':<32} {'role':<10} {'labelled':>9} {'frauds':>7} {'precision':>10} {'of blocks':>10} {'recall':>7}"
    )
    for model, result in found.items():
        shares = (result.precision, result.block_precision, result.recall)
        precision, of_blocks, recall = ("-" if share != share else f"{share:.3f}" for share in shares)  # noqa: PLR0124
        name = f"{model.name} {model.version}"
        click.echo(
            f"{name:<32} {model.role:<10} {result.labelled:>9,} {result.frauds:>7,} {precision:>10} {of_blocks:>10}"
            f" {recall:>7}"
        )


def _facts(model: ModelKey, result: Quality) -> dict[str, Any]:
    shares = {name: getattr(result, name) for name in ("precision", "block_precision", "recall")}
    return {
        "model_name": model.name,
        "model_version": model.version,
        "role": model.role,
        "labelled": result.labelled,
        "frauds": result.frauds,
        # JSON has no NaN.
        **{name: None if share != share else share for name, share in shares.items()},  # noqa: PLR0124
    }


@records.command()
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Age of the predictions that count.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def pairs(days: float | None, as_json: bool) -> None:
    """How good champion and challenger in the shadow are on the same transactions, by the labels that came in.

    Budget own: each side gives alerts at its own thresholds. Budget equal: the challenger gives as many as the
    champion.
    """
    from bentos.fraud.records.pair_quality import count_pairs

    with _opened() as (database, settings):
        span = settings.quality_window_days if days is None else days
        with database.read(patient=True) as connection:
            found = count_pairs(connection, time.time_ns() // 1000 - int(span * _DAY))
    facts = [_pair_facts(key, quality) for key, quality in found.items()]
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"predictions of the last {span:g} days")
    for one in facts:
        click.echo(
            f"champion {one['champion_version']}, challenger {one['challenger_version']}: {one['pairs']:,} pairs"
        )
        click.echo(f"  {'':<18} {'alerts':>9} {'precision':>10} {'recall':>7}")
        for row in one["sides"]:
            precision, recall = ("-" if row[name] is None else f"{row[name]:.3f}" for name in ("precision", "recall"))
            click.echo(f"  {row['side']:<10} {row['budget']:<7} {row['alerts']:>9,} {precision:>10} {recall:>7}")


def _pair_facts(key: PairKey, quality: PairQuality) -> dict[str, Any]:
    sides: tuple[tuple[Side, Budget, int], ...] = (
        ("champion", "own", quality.champion_alerts),
        ("challenger", "own", quality.challenger_alerts),
        ("challenger", "equal", quality.champion_alerts),
    )
    return {
        **dataclasses.asdict(key),
        "pairs": quality.pairs,
        "sides": [
            {
                "side": side,
                "budget": budget,
                "alerts": alerts,
                "precision": _told(quality.precision(side, budget)),
                "recall": _told(quality.recall(side, budget)),
            }
            for side, budget, alerts in sides
        ],
        "cells": [{**dataclasses.asdict(cell), **dataclasses.asdict(count)} for cell, count in quality.cells.items()],
    }


def _told(share: float) -> float | None:
    # JSON has no NaN.
    return None if math.isnan(share) else share


@records.command()
def status() -> None:
    """Show what is kept and whether the database works."""
    from bentos.fraud.records.office import open_identifiers
    from bentos.fraud.records.queries import Queries

    with _opened() as (database, settings):
        click.echo(f"database          {'SQLite' if database.is_sqlite else 'PostgreSQL'}")
        for name, count in Queries(database, open_identifiers(settings)).status().items():
            click.echo(f"{name:<17} {count:,}")


@records.command()
@click.option("--beside-server", is_flag=True, hidden=True)
def write(beside_server: bool) -> None:
    """Record what a server left in its files when it was killed, until a signal ends it. A server does it by itself."""
    from bentos.fraud.observe.logs import configure_logging
    from bentos.fraud.records.recording import run
    from bentos.fraud.settings import ScoringSettings

    settings = load_settings(ScoringSettings)
    configure_logging(settings)
    run(settings, beside_server=beside_server)


@records.command()
@click.option("--customer", help="Whose predictions, labels and features are forgotten.")
@click.option("--transaction", "transactions", multiple=True, help="Whose label is forgotten, predicted or not.")
def erase(customer: str | None, transactions: tuple[str, ...]) -> None:
    """Forget a customer, or the labels of transactions.

    A label whose transaction was never predicted tells nothing of its customer: name the transaction to forget it.
    """
    from bentos.fraud.records.office import open_identifiers
    from bentos.fraud.records.retention import Removed, erase_customer, erase_labels

    if not customer and not transactions:
        raise click.UsageError("name who is forgotten: --customer, or --transaction")
    with _opened() as (database, settings):
        removed = Removed()
        if customer:
            identifiers = open_identifiers(settings)
            removed += erase_customer(database, identifiers, customer)
            _await_recorded(settings)
            removed += erase_customer(database, identifiers, customer)
        if transactions:
            removed += erase_labels(database, transactions)
    click.echo(f"removed {removed.predictions:,} predictions and {removed.labels:,} labels")
    if customer:
        found = _erase_features(customer)
        click.echo(f"features of the customer: {'forgotten' if found else 'not in the store'}")


def _await_recorded(settings: RecordsSettings) -> None:
    """Wait until what a server has answered so far is in the database."""
    from bentos.fraud.records.spool import spool_folder, unread_of

    # What it had still in memory is in its files by then, or, elsewhere, recorded.
    time.sleep(2 * settings.prediction_log_interval_milliseconds / 1000 + _MARGIN_SECONDS)
    waiting = unread_of(spool_folder(settings.home))
    left, until = waiting(), time.monotonic() + _PATIENCE_SECONDS
    while left:
        if time.monotonic() > until:
            raise Unavailable(
                f"{left:,} bytes of predictions on this machine have yet to be recorded; start its server, or"
                " `python -m bentos.fraud records write`, and run this again"
            )
        time.sleep(0.1)
        before, left = left, waiting()
        if left < before:
            until = time.monotonic() + _PATIENCE_SECONDS


def _erase_features(customer: str) -> bool:
    from bentos.core.features.history import CUSTOMER
    from bentos.fraud.store.choice import open_store
    from bentos.fraud.store.settings import StoreSettings

    with contextlib.closing(open_store(load_settings(StoreSettings))) as store:
        return store.erase(CUSTOMER, customer)


@records.command()
def expire() -> None:
    """Remove what is older than the settings say; a server does it every hour."""
    from bentos.fraud.records import retention

    with _opened() as (database, settings):
        with database.read() as connection:
            now = database.now(connection)
        removed, _ = retention.expire(database, settings, now, lambda: False)
    click.echo(str(removed))


@contextlib.contextmanager
def _opened() -> Iterator[tuple[Database, RecordsSettings]]:
    from bentos.fraud.records.database import open_database, upgrade
    from bentos.fraud.records.failures import translated

    settings = load_settings(RecordsSettings)
    upgrade(settings)
    with contextlib.closing(open_database(settings)) as database, translated():
        yield database, settings
