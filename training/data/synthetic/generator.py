"""From a world to a table: day after day, in order of time, in chunks of any size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bentos.core.errors import ConfigError
from bentos.core.transaction import LABEL_COLUMNS, MAXIMUM_AMOUNT, TRANSACTION_COLUMNS
from training.data.synthetic.config import DAY_SECONDS, LATEST, GeneratorConfig
from training.data.synthetic.customers import World, make_world
from training.data.synthetic.fraud import FRAUD_KINDS, Episodes, draw_frauds, plan_episodes
from training.data.synthetic.merchants import CATEGORIES, IntArray
from training.data.synthetic.purchases import HONEST, Rows, honest_day, rows_per_day

__all__ = ["generate_after", "generate_chunks", "generate_days", "generate_table"]

#: Labels come after days whose logarithm is normal: half within 2.5 days, about one in twelve after more than 7.
_LABEL_MEDIAN_DAYS: Final = 2.5
_LABEL_SPREAD: Final = 0.75
_LABEL_LONGEST_DAYS: Final = 60.0


def _plan(world: World) -> list[Episodes]:
    """Episodes of each kind; together they hold the frauds of the table."""
    shares = np.array([kind.share for kind in FRAUD_KINDS])
    until = np.round(np.cumsum(shares) / shares.sum() * world.config.frauds).astype(int)
    counts = np.diff(until, prepend=0)
    return [
        plan_episodes(world, kind, world.config.random(5, number), int(count))
        for number, (kind, count) in enumerate(zip(FRAUD_KINDS, counts, strict=True))
    ]


def generate_days(world: World) -> Iterator[Rows]:
    """The rows of each day in order of time. Frauds of episodes that go on wait for their day."""
    config = world.config
    plan = _plan(world)
    honest = rows_per_day(world, config.rows - config.frauds)
    waiting: list[Rows] = []
    for day in range(config.days):
        end = config.start_seconds + (day + 1) * DAY_SECONDS
        parts = [honest_day(world, day, int(honest[day])), *waiting]
        for number, all_episodes in enumerate(plan):
            episodes = all_episodes.on(day)
            if len(episodes.day):
                parts.append(draw_frauds(world, number, day, episodes))
        rows = Rows.joined(parts)
        if day == config.days - 1:
            # What would happen after the period happens in its last second, so that the number of frauds is exact.
            np.minimum(rows.time, end - 1, out=rows.time)
        later = rows.time >= end
        waiting = [rows.take(later)]
        today = rows.take(~later)
        yield today.take(np.argsort(today.time, kind="stable"))


def _numbered(prefix: str, digits: int, numbers: IntArray) -> pa.Array:
    text = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), digits, "0")
    return pc.binary_join_element_wise(prefix, text, "")


def _label_timestamps(random: np.random.Generator, rows: Rows) -> IntArray:
    """When labels arrived, in microseconds since 1970; meant for frauds only."""
    delay = _LABEL_MEDIAN_DAYS * np.exp(_LABEL_SPREAD * random.standard_normal(len(rows.time)))
    delay = np.clip(delay, 1 / 24, _LABEL_LONGEST_DAYS)
    return (rows.time + (delay * DAY_SECONDS).astype(np.int64)) * 1_000_000


def _canonical(world: World, day: int, rows: Rows, first_number: int) -> pd.DataFrame:
    """The canonical table of one day; transactions are numbered from ``first_number`` on."""
    config, customers, merchants = world.config, world.customers, world.merchants
    random = config.random(7, day)
    digits = len(str(config.rows - 1))
    names = np.array([kind.name for kind in CATEGORIES])
    is_fraud = rows.fraud != HONEST
    label_time = _label_timestamps(random, rows)
    instant = pa.timestamp("us", "UTC")
    columns = {
        "transaction_id": _numbered("t", digits, np.arange(first_number, first_number + len(rows.time))),
        "customer_id": _numbered("c", len(str(config.customers - 1)), rows.customer),
        "merchant_id": _numbered("m", len(str(config.merchants - 1)), rows.merchant),
        "merchant_category": pa.array(names).take(pa.array(merchants.category[rows.merchant])),
        "amount": pa.array(np.minimum(np.round(rows.amount, 2), MAXIMUM_AMOUNT)),
        "timestamp": pa.array(rows.time * 1_000_000).cast(instant),
        "utc_offset_seconds": pa.array(world.utc_offset(rows.customer, rows.time).astype(np.int32)),
        "customer_latitude": pa.array(customers.latitude[rows.customer]),
        "customer_longitude": pa.array(customers.longitude[rows.customer]),
        "merchant_latitude": pa.array(merchants.latitude[rows.merchant]),
        "merchant_longitude": pa.array(merchants.longitude[rows.merchant]),
        "is_fraud": pa.array(is_fraud),
        "label_timestamp": pa.array(label_time, mask=~is_fraud).cast(instant),
    }
    frame: pd.DataFrame = pa.table(columns).to_pandas()
    return frame.astype({**TRANSACTION_COLUMNS, **LABEL_COLUMNS})


def generate_chunks(config: GeneratorConfig, chunk_rows: int = 131_072) -> Iterator[pd.DataFrame]:
    """Generate the canonical table piece by piece.

    Memory grows with customers and merchants, a day and a chunk, not with the rows before. The pieces joined are the
    same for every ``chunk_rows``.

    Parameters
    ----------
    config
        What to generate.
    chunk_rows
        Rows of every piece but the last one.

    Yields
    ------
    Canonical tables in order of ``timestamp``, labels included.

    Raises
    ------
    ConfigError
        ``chunk_rows`` is not positive.
    """
    if chunk_rows < 1:
        raise ConfigError(f"chunk_rows is {chunk_rows}; it must be at least 1")
    world = make_world(config)
    number = 0
    held: list[pd.DataFrame] = []
    count = 0
    for day, rows in enumerate(generate_days(world)):
        if len(rows.time) == 0:
            continue
        frame = _canonical(world, day, rows, number)
        number += len(frame)
        held.append(frame)
        count += len(frame)
        if count >= chunk_rows:
            joined = pd.concat(held, ignore_index=True)
            whole = count - count % chunk_rows
            for begin in range(0, whole, chunk_rows):
                yield joined.iloc[begin : begin + chunk_rows].reset_index(drop=True)
            held = [joined.iloc[whole:].reset_index(drop=True)]
            count -= whole
    if count:
        yield pd.concat(held, ignore_index=True)


def generate_after(config: GeneratorConfig) -> Iterator[pd.DataFrame]:
    """What happens after a table: the same customers go on paying at the same merchants.

    Period after period as long as the table's, with purchases and frauds of its own, until the calendar of the
    generator ends. Trips come back with each period.

    Parameters
    ----------
    config
        Of the table.

    Yields
    ------
    Canonical tables of a day each, in order of ``timestamp``; numbers of transactions go on after the table's.
    """
    before = make_world(config)
    # Who joins in the course of the table has joined.
    customers = replace(before.customers, joined=np.zeros_like(before.customers.joined))
    number = config.rows
    start, length = config.start, timedelta(days=config.days)
    while (start := start + length) + length <= LATEST:
        period = (start - config.start).days // config.days
        world = replace(
            before, config=replace(config, seed=(config.seed + period) % 2**63, start=start), customers=customers
        )
        for day, rows in enumerate(generate_days(world)):
            if len(rows.time):
                yield _canonical(world, day, rows, number)
                number += len(rows.time)


def generate_table(rows: int = 10_000, *, fraud_rate: float = 0.03, seed: int = 0) -> pd.DataFrame:
    """Generate a whole canonical table in memory (see :class:`GeneratorConfig`)."""
    config = GeneratorConfig(rows=rows, fraud_rate=fraud_rate, seed=seed)
    return pd.concat(list(generate_chunks(config)), ignore_index=True)
